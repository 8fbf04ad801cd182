"""Whether a search that has ended still answers: the same command again then needs neither Optuna nor torch."""

from siamese_lab.core.errors import LabError
from siamese_lab.runs.finished_search import FinishedSearch, read_finished_search
from siamese_lab.runs.study import read_study
from siamese_lab.sweep.planning import plan_cache


def valid_finished_search(study: str, key: str) -> FinishedSearch | None:
    """What a search has printed, where the same words ask for it again, and no run of it has changed since; else None.

    Args:
        study: its name.
        key: of the words, options and code that ask for it, see `plan_cache.hashed`.
    """
    found = read_finished_search(study)
    if found is None or found["key"] != key:
        return None
    try:
        known = read_study(study)
        if known.facts.get("key") != key or known.facts.get("stamp") != plan_cache.stamp(known.facts.get("roots", [])):
            return None
        jobs = {job.run_id: job for job in known.jobs}
        same = all(run_id in jobs and jobs[run_id].state() == state for run_id, state in found["states"].items())
    except LabError:
        return None
    return found if same else None
