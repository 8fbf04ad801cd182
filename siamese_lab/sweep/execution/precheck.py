"""Checks every distinct combination before the first job of a sweep: an error shows in seconds, not hours."""

from collections.abc import Sequence
from functools import partial

from siamese_lab.core.errors import LabError
from siamese_lab.runs.job import Job, combination
from siamese_lab.sweep.execution.forkserver import run_all_forked


def check_jobs(jobs: Sequence[tuple[Job, str]], processes: int) -> int:
    """Checks one job of each combination of all but the seed, in a process of its own; returns how many there are.

    What runs out of memory, or is killed for that, passes: it may fit where the job runs, and there it ends no other.

    Raises:
        LabError: with all that is wrong.
    """
    distinct: dict[tuple[tuple[str, str], ...], tuple[Job, str]] = {}
    for job, text in jobs:
        distinct.setdefault(combination(job.point), (job, text))
    found = run_all_forked([partial(_config_error, text) for _, text in distinct.values()], processes)
    wrong = [f"{job.name}: {error}" for (job, _), error in zip(distinct.values(), found, strict=True) if error]
    if wrong:
        more = [f"and {len(wrong) - 10} more"] if len(wrong) > 10 else []
        lines = [f"{len(wrong)} of {len(found)} combinations cannot run, nothing was started:", *wrong[:10], *more]
        raise LabError("\n  ".join(lines))
    return len(found)


def _config_error(text: str) -> str:
    """What is wrong with a config; "" if nothing is."""
    # here: Lightning takes long to import
    from omegaconf import DictConfig, OmegaConf

    from siamese_lab.config.trust import trust_of_a_job
    from siamese_lab.training.assemble import assemble
    from siamese_lab.training.dry_run import describe
    from siamese_lab.training.exit_state import out_of_memory

    try:
        cfg, trust = DictConfig(OmegaConf.create(text)), trust_of_a_job()
        OmegaConf.set_struct(cfg, True)
        describe(cfg, assemble(cfg, trust=trust))
    except LabError as error:
        return str(error)
    except Exception as error:
        return "" if out_of_memory(error) else f"{type(error).__name__}: {error}"
    return ""
