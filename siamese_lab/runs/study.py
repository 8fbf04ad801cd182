"""`outputs/<study>/study.json`: the plan of a study. Jobs are added, never lost."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

from filelock import FileLock

from siamese_lab.core.errors import LabError
from siamese_lab.core.files import SCHEMA_VERSION, read_json, write_json
from siamese_lab.core.mappings import JsonObject
from siamese_lab.core.paths import outputs
from siamese_lab.core.text import printable
from siamese_lab.runs.job import Job
from siamese_lab.runs.listing import is_study, planned_studies


def find_study(name: str) -> str | None:
    """The name of a study, given its name or its folder; None if there is none.

    For a folder elsewhere, `outputs()` becomes its parent, where its jobs and runs lie.
    """
    if name and is_study(outputs() / name) and (outputs() / name).resolve().parent == outputs().resolve():
        return name
    if not (name and is_study(Path(name))):
        return None
    folder = Path(name).resolve()
    if folder.parent != outputs().resolve():
        os.environ["SIAMESE_LAB_OUTPUTS"] = str(folder.parent)
    return folder.name


@contextmanager
def lock_study(name: str) -> Iterator[None]:
    """Context in which no other process changes the study.json of a study."""
    folder = outputs() / name
    (folder / "jobs").mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".study.lock"):
        yield


class Budget(TypedDict, total=False):
    """The limits of a study file: `runs`, and `time` as HH:MM:SS."""

    runs: int
    time: str


class StudyFacts(TypedDict, total=False):
    """What study.json records of how a study was planned.

    `key`, `stamp`, `roots` and `ids` tell whether the plan can be reused: the hash of words, options and code, the hash
    of the data's files and the folders they lie in, the run ids of the jobs. `launcher` and `search` are sections of
    the config, `fixed` the words that all runs have.
    """

    key: str
    stamp: str | None
    roots: list[str]
    ids: list[str]
    launcher: dict[str, object]
    search: dict[str, object]
    budget: Budget
    fixed: list[str]
    config_dirs: list[str]
    code: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Superseded:
    """A run that no longer stands for its point, since the same words mean another config now.

    Args:
        run_id: of the old run, which stays where it is and is not reused.
        by: run id of the new one.
        changes: what differs, e.g. "loss.temperature 0.1 -> 0.07", or "the data".
    """

    run_id: str
    by: str
    changes: list[str]


@dataclass(frozen=True)
class Study:
    """The plan of a study.

    Args:
        name: of its folder.
        axes: {key: values as the user wrote them}, the seed among them.
        jobs: all that were ever asked for and are valid.
        superseded: runs that no longer count.
        facts: how it was planned.
    """

    name: str
    axes: dict[str, list[str]]
    jobs: list[Job]
    superseded: list[Superseded] = field(default_factory=list)
    facts: StudyFacts = field(default_factory=StudyFacts)

    def write(self) -> None:
        """Writes study.json, whole or not at all."""
        path = outputs() / self.name / "study.json"
        (path.parent / "jobs").mkdir(parents=True, exist_ok=True)
        jobs = [{"run_id": job.run_id, "point": job.point, "devices": job.devices} for job in self.jobs]
        write_json(
            path,
            {
                "schema": SCHEMA_VERSION,
                "name": self.name,
                "axes": self.axes,
                "jobs": jobs,
                "superseded": [asdict(one) for one in self.superseded],
                "facts": self.facts,
            },
        )


def read_study(name: str) -> Study:
    """The study of a name under `outputs()`, or of a folder.

    Raises:
        LabError: if there is none, or its study.json is broken.
    """
    path = Path(name) if is_study(Path(name)) else outputs() / name
    file = path / "study.json"
    if not name or not is_study(path):
        known = [folder.name for folder in planned_studies()]
        listed = f" (there are: {', '.join(known[:10])})" if known else ", which holds no study yet"
        raise LabError(f"no study {name or repr(name)}: it must be the name of one under {outputs()}{listed}")
    found = read_json(file)
    try:
        jobs = [_job(path.name, one) for one in found["jobs"]]
        gone = [_superseded(one) for one in found["superseded"]]
        axes = {str(key): list(map(str, values)) for key, values in found["axes"].items()}
        return Study(path.name, axes, jobs, gone, StudyFacts(**found["facts"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LabError(
            f"{file} is not what siamese-lab writes ({type(error).__name__}: {error}): start the sweep again"
        ) from error


def _superseded(found: JsonObject) -> Superseded:
    return Superseded(_run_id(found["run_id"]), _run_id(found["by"]), list(found["changes"]))


def _job(study: str, found: JsonObject) -> Job:
    return Job(study, _run_id(found["run_id"]), dict(found["point"]), int(found["devices"]))


def _run_id(value: object) -> str:
    """The value, if it can be a run id: it becomes the name of a folder that is created, written to and removed."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{12}", value):
        raise ValueError(f"a run id must be 12 hex digits, got {printable(value)[:50]}")
    return value
