"""The server that processes of a sweep are forked from: it has everything imported, which takes seconds, and has done
nothing else.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from siamese_lab.core.errors import LabError

PRELOADED = ["siamese_lab.sweep.execution.forkserver_preload"]
T = TypeVar("T")


def context() -> Any:
    """Of multiprocessing, whose `Process` is forked off the server; the server is started with the first one."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOADED)
    resource_tracker.ensure_running()  # what the server's start does first; it would let Ctrl-C through
    with _uninterrupted():  # the server inherits it: a terminal sends Ctrl-C to all, also while it imports
        forkserver.ensure_running()
    return made


def forked(work: Callable[[], T]) -> T:
    """What a function returns that is called in a process forked off the server; this one then needs not import what it
    does.

    Args:
        work: can be pickled, and so can what it returns.

    Raises:
        LabError: what it raised, or if its process was killed.
    """
    (found,) = forked_all([work], 1)
    if isinstance(found, LabError):
        raise found
    if found is None:
        raise LabError(
            "a process of the sweep ended before the first job: if nobody killed it, the machine ran out of memory", 1
        )
    return found


def forked_all(works: Sequence[Callable[[], T]], processes: int) -> list[T | LabError | None]:
    """What each function returns, called in a process of its own, some at once; the LabError that it raised; None if it
    was killed.
    """
    found: list[T | LabError | None] = [None] * len(works)
    todo, running = list(enumerate(works)), dict[Connection, tuple[int, Any]]()
    where = (dict(os.environ), str(Path.cwd()))
    try:
        while todo or running:
            while todo and len(running) < processes:
                number, work = todo.pop(0)
                answer, its = multiprocessing.Pipe(duplex=False)
                process = context().Process(target=_answer, args=(work, its, *where), daemon=True)
                with _uninterrupted():  # the new process would find half of what it is to be told
                    process.start()
                its.close()
                running[answer] = (number, process)
            ended = wait(list(running))
            for answer in [one for one in running if one in ended]:
                number, process = running.pop(answer)
                with answer:
                    try:
                        found[number] = answer.recv()
                    except EOFError:
                        continue
                    finally:
                        process.join()
    finally:
        for _, process in running.values():
            process.kill()
    return found


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C is heard at the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answer(work: Callable[[], Any], told: Connection, environment: dict[str, str], folder: str) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the sweep, which then ends this process
    os.environ.clear()
    os.environ.update(environment)  # the server was started with what they were then
    os.chdir(folder)
    torch.set_num_threads(1)
    try:
        found: Any = work()
    except LabError as error:
        found = error
    with suppress(ConnectionError):  # the sweep has ended meanwhile
        told.send(found)
