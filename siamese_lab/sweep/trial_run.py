"""Before the first job of a sweep, every distinct combination goes through `check`: an error shows in seconds, not hours."""

import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from siamese_lab.errors import LabError
from siamese_lab.sweep.job import Job
from siamese_lab.sweep.local import PRELOADED


def check_all(jobs: Sequence[Job], processes: int) -> int:
    """Checks one job of each combination of all but the seed, each in a process of its own; returns how many there are.

    What runs out of memory, or is killed for that, is let pass: it may fit where the job runs, and takes no other one along there.

    Args:
        jobs: to be run; their configs are written.
        processes: at once.

    Raises:
        LabError: with all that is wrong.
    """
    distinct: dict[tuple[tuple[str, str], ...], Job] = {}
    for job in jobs:
        distinct.setdefault(tuple(sorted((key, value) for key, value in job.point.items() if key != "seed")), job)
    found = _each([str(job.file("yaml").resolve()) for job in distinct.values()], processes)
    wrong = [f"{job.name}: {words}" for job, words in zip(distinct.values(), found, strict=True) if words]
    if wrong:
        more = f"\n  and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        raise LabError(f"{len(wrong)} of {len(found)} combinations cannot run, nothing was started:\n  " + "\n  ".join(wrong[:10]) + more)
    return len(found)


def checked(path: str) -> str:
    """What is wrong with the config in a file; "" if nothing is."""
    from omegaconf import DictConfig, OmegaConf

    from siamese_lab import check
    from siamese_lab.assembly import assemble
    from siamese_lab.endings import out_of_memory

    try:
        cfg = DictConfig(OmegaConf.create(Path(path).read_text(encoding="utf-8")))
        OmegaConf.set_struct(cfg, True)
        check.describe(cfg, assemble(cfg))
    except LabError as error:
        return str(error)
    except Exception as error:
        return "" if out_of_memory(error) else f"{type(error).__name__}: {error}"
    return ""


def _each(files: Sequence[str], processes: int) -> list[str]:
    """What `checked` says of each file."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    found, running = [""] * len(files), dict[Connection, tuple[int, Any]]()
    todo = list(enumerate(files))
    try:
        while todo or running:
            while todo and len(running) < processes:
                number, file = todo.pop(0)
                answer, its = multiprocessing.Pipe(duplex=False)
                process = context.Process(target=_answer, args=(file, its), daemon=True)
                process.start()
                its.close()
                running[answer] = (number, process)
            ended = wait(list(running))
            for ready in [one for one in running if one in ended]:
                number, process = running.pop(ready)
                try:
                    found[number] = ready.recv()
                except EOFError:  # it was killed
                    continue
                finally:
                    process.join()
    finally:
        for _, process in running.values():
            process.kill()
    return found


def _answer(file: str, told: Connection) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the sweep, which ends its checks
    torch.set_num_threads(1)
    told.send(checked(file))
