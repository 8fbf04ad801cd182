"""What earlier plans of a study have left: whether one can be reused, and which of its runs no longer count."""

from collections.abc import Mapping, Sequence

import yaml

from siamese_lab.core.dotted import flatten
from siamese_lab.core.errors import LabError
from siamese_lab.runs.finished_search import FinishedSearch, read_finished_search
from siamese_lab.runs.job import Job
from siamese_lab.runs.study import Study, Superseded
from siamese_lab.sweep.planning.hashes import files_hash
from siamese_lab.sweep.planning.plan import Plan, earlier_study

NOT_COMPARED = ("launcher", "search", "choices", "study", "name")
"""Sections of a config that do not make another run of it."""


def reusable_plan(name: str, key: str) -> Plan | None:
    """The last plan of a finished study, where neither words nor options nor code nor data have changed; else None.

    Nothing is built from it: its files may have been exchanged. A plan with runs to do is made anew.

    Args:
        key: the hash of the words, options and code, see `SweepRequest`.
    """
    study = _current_study(name, key)
    if study is None:
        return None
    jobs = {job.run_id: job for job in study.jobs}
    ids = study.facts.get("ids", [])
    try:
        finished = all(run_id in jobs and jobs[run_id].state() == "ok" for run_id in ids)
    except LabError:
        return None
    if not finished or (not ids and valid_finished_search(name, key) is None):
        return None
    found = [jobs[run_id] for run_id in ids]
    return Plan(name, study.axes, found, [], study.facts, superseded=study.superseded)


def valid_finished_search(name: str, key: str) -> FinishedSearch | None:
    """What a search has printed, where the same is asked for again and no run of it has changed since; else None.

    The same command again then needs neither Optuna nor torch.
    """
    found = read_finished_search(name)
    study = _current_study(name, key) if found is not None and found["key"] == key else None
    if found is None or study is None:
        return None
    jobs = {job.run_id: job for job in study.jobs}
    try:
        same = all(run_id in jobs and jobs[run_id].state() == state for run_id, state in found["states"].items())
    except LabError:
        return None
    return found if same else None


def find_superseded(name: str, jobs: Sequence[Job], configs: Mapping[str, str]) -> tuple[list[Superseded], list[str]]:
    """Runs of earlier plans whose points mean another config or other data now, and a note on new ones."""
    study = earlier_study(name)
    if study is None:
        return [], []
    by_point = {tuple(sorted(job.point.items())): job for job in jobs}
    found = []
    for old in study.jobs:
        new = by_point.get(tuple(sorted(old.point.items())))
        if new is not None and new.run_id != old.run_id:
            found.append(Superseded(old.run_id, new.run_id, _config_changes(old, configs[new.run_id])))
    kept = [one for one in study.superseded if one.run_id not in {job.run_id for job in jobs}]
    if not found:
        return kept, []
    changes = "; ".join(dict.fromkeys(", ".join(one.changes) for one in found))[:500]
    return [*kept, *found], [
        f"{len(found)} earlier runs of the study {name} are not reused, since they were of another config: {changes}"
    ]


def _current_study(name: str, key: str) -> Study | None:
    try:
        study = earlier_study(name)
    except LabError:
        return None
    if study is None or study.facts.get("key") != key:
        return None
    return study if study.facts.get("stamp") == files_hash(study.facts.get("roots", [])) else None


def _config_changes(old: Job, text: str) -> list[str]:
    try:
        a, b = (flatten(yaml.safe_load(one)) for one in (old.checked_config_text(), text))
    except LabError:
        return ["its config is lost"]
    keys = [key for key in {**a, **b} if a.get(key) != b.get(key) and key.split(".")[0] not in NOT_COMPARED]
    return [f"{key} {a.get(key, 'absent')} -> {b.get(key, 'absent')}" for key in keys] or ["the data"]
