"""What earlier plans of a study have left: whether one still holds, and which of its runs no longer count."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from siamese_lab.core.dotted import flatten
from siamese_lab.core.errors import LabError
from siamese_lab.core.paths import outputs
from siamese_lab.runs.job import Job
from siamese_lab.runs.listing import is_study
from siamese_lab.runs.study import Study, Superseded, read_study

APART = ("launcher", "search", "choices", "study", "name")
"""Keys of a config that do not make another run of it."""


def before(name: str) -> Study | None:
    """The study as it was planned last; None where it never was."""
    return read_study(name) if is_study(outputs() / name) else None


def still(name: str, key: str) -> tuple[Study, list[Job]] | None:
    """The study and the jobs of its last plan, where neither words nor options nor code nor data have changed since.

    Args:
        name: of the study.
        key: of the words, options and code, see `hashed`.
    """
    try:
        study = before(name)
    except LabError:
        return None
    if (
        study is None
        or study.facts.get("key") != key
        or study.facts.get("stamp") != stamp(study.facts.get("roots", []))
    ):
        return None
    jobs = {job.run_id: job for job in study.jobs}
    ids = study.facts.get("ids", [])
    whole = ids and all(run_id in jobs and jobs[run_id].file("yaml").exists() for run_id in ids)
    return (study, [jobs[run_id] for run_id in ids]) if whole else None


def superseded(name: str, jobs: Sequence[Job], configs: Mapping[str, str]) -> tuple[list[Superseded], list[str]]:
    """Runs of earlier plans whose points mean another config or other data now, and what the user is told of new ones.

    Args:
        name: of the study.
        jobs: of the plan that is being made.
        configs: {run id: yaml text} of these.
    """
    study = before(name)
    if study is None:
        return [], []
    now = {tuple(sorted(job.point.items())): job for job in jobs}
    found = []
    for old in study.jobs:
        new = now.get(tuple(sorted(old.point.items())))
        if new is not None and new.run_id != old.run_id:
            found.append(Superseded(old.run_id, new.run_id, _changes(old, configs[new.run_id])))
    kept = [one for one in study.superseded if one.run_id not in {job.run_id for job in jobs}]
    notes = []
    if found:
        what = "; ".join(dict.fromkeys(", ".join(one.changes) for one in found))
        notes.append(
            f"{len(found)} earlier runs of the study {name} are not reused, since they were of another config: "
            f"{what[:500]}"
        )
    return [*kept, *found], notes


def contents(config_dirs: Sequence[Path]) -> str:
    """A hash of the user's own folders of options; the lab's own are part of the code's hash."""
    files = sorted(path for folder in config_dirs for path in folder.rglob("*.yaml"))
    return hashed([[str(path), path.read_text(encoding="utf-8", errors="replace")] for path in files])


def stamp(roots: Sequence[str]) -> str | None:
    """A hash of the names, sizes and times of all files of the data; None where they come with the lab or lie in its
    cache.
    """
    if not roots:
        return None
    found = []
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                try:
                    stat = (Path(folder) / name).stat()
                except OSError:
                    continue
                found.append([folder, name, stat.st_size, stat.st_mtime_ns])
    return hashed(sorted(found))


def hashed(value: object) -> str:
    """16 hex digits of what JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _changes(old: Job, text: str) -> list[str]:
    try:
        a, b = (flatten(yaml.safe_load(one)) for one in (old.checked_config_text(), text))
    except LabError:
        return ["its config is lost"]
    keys = [key for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key) and key.split(".")[0] not in APART]
    return [f"{key} {a.get(key, 'absent')} -> {b.get(key, 'absent')}" for key in keys] or ["the data"]
