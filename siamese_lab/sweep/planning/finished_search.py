"""What a search that has ended said, so that the same command again answers at once, without Optuna or torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from siamese_lab.core.errors import LabError
from siamese_lab.core.files import SCHEMA_VERSION, read_json, write_json
from siamese_lab.core.paths import outputs
from siamese_lab.runs.study import Study
from siamese_lab.sweep.planning import plan_cache


def note(study: str, key: str | None, lines: Sequence[str], states: Mapping[str, str]) -> None:
    """Notes the end of a search: outputs/<study>/search/done.json.

    Args:
        study: its name.
        key: of the words, options and code that asked for it, see `earlier.hashed`.
        lines: that were printed.
        states: {run id: state} of its points.
    """
    path = outputs() / study / "search" / "done.json"
    write_json(path, {"schema": SCHEMA_VERSION, "key": key, "lines": list(lines), "states": dict(states)})


def told(study: str, key: str) -> dict[str, Any] | None:
    """What was noted, where the same words ask for the same search again, and no run of it has changed since; else
    None.

    Args:
        study: its name.
        key: as for `note`.
    """
    path = outputs() / study / "search" / "done.json"
    try:
        found = read_json(path) if path.exists() else {}
        known = Study.read(study) if found.get("key") == key else None
        if (
            known is None
            or known.facts.get("key") != key
            or known.facts.get("stamp") != plan_cache.stamp(known.facts.get("roots", []))
        ):
            return None
        jobs = {job.run_id: job for job in known.jobs}
        same = all(run_id in jobs and jobs[run_id].state() == state for run_id, state in found["states"].items())
    except (LabError, KeyError):
        return None
    return found if same else None
