"""Before the first job of a sweep, every distinct combination goes through `check`: an error shows in seconds, not hours."""

import multiprocessing
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from siamese_lab.errors import LabError
from siamese_lab.sweep.job import Job
from siamese_lab.sweep.local import PRELOADED


def check_all(jobs: Sequence[Job], processes: int) -> None:
    """Checks one job of each combination of all but the seed, in processes of their own.

    Args:
        jobs: to be run; their configs are written.
        processes: at once.

    Raises:
        LabError: with all that is wrong.
    """
    distinct: dict[tuple[tuple[str, str], ...], Job] = {}
    for job in jobs:
        distinct.setdefault(tuple(sorted((key, value) for key, value in job.point.items() if key != "seed")), job)
    if not distinct:
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    files = [str(job.file("yaml").resolve()) for job in distinct.values()]
    with context.Pool(min(processes, len(files))) as pool:
        found = pool.map(checked, files, chunksize=1)
    wrong = [f"{job.name}: {words}" for job, words in zip(distinct.values(), found, strict=True) if words]
    if wrong:
        more = f"\n  and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        raise LabError(f"{len(wrong)} of {len(found)} combinations cannot run, nothing was started:\n  " + "\n  ".join(wrong[:10]) + more)


def checked(path: str) -> str:
    """What is wrong with the config in a file; "" if nothing is."""
    from omegaconf import DictConfig, OmegaConf

    from siamese_lab import check
    from siamese_lab.assembly import assemble

    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        cfg = DictConfig(OmegaConf.create(Path(path).read_text(encoding="utf-8")))
        OmegaConf.set_struct(cfg, True)
        lab = assemble(cfg, samples=_samples(OmegaConf.to_yaml(cfg.data)))
        check.describe(cfg, lab)
    except LabError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


@lru_cache(maxsize=4)
def _samples(section: str) -> Any:
    from omegaconf import OmegaConf

    from siamese_lab.assembly import load

    return load(OmegaConf.create({"data": OmegaConf.create(section)}))
