"""The server that processes of a sweep are forked from: it has imported everything, which takes seconds."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import TypeVar

from siamese_lab.core.errors import LabError

PRELOADED = ["siamese_lab.sweep.execution.forkserver_preload"]
T = TypeVar("T")


def forkserver_context() -> ForkServerContext:
    """The context of multiprocessing whose `Process` is forked off the server, which is started with the first one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    resource_tracker.ensure_running()  # the server's start does it first, and would let Ctrl-C through
    with _sigint_blocked():  # the server inherits it: a terminal sends Ctrl-C to all, also while it imports
        forkserver.ensure_running()
    return context


def run_forked(work: Callable[[], T]) -> T:
    """Calls a function in a process forked off the server, so that this one need not import what it needs.

    Args:
        work: can be pickled, and so can what it returns.

    Raises:
        LabError: what it raised, or if its process was killed.
    """
    (found,) = run_all_forked([work], 1)
    if isinstance(found, LabError):
        raise found
    if found is None:
        raise LabError(
            "a process of the sweep ended before the first job: if nobody killed it, the machine ran out of memory", 1
        )
    return found


def run_all_forked(works: Sequence[Callable[[], T]], processes: int) -> list[T | LabError | None]:
    """Calls each function in a process of its own, some at once.

    Returns:
        What each returned; the LabError that it raised; None if its process was killed.
    """
    found: list[T | LabError | None] = [None] * len(works)
    todo, running = list(enumerate(works)), dict[Connection, tuple[int, ForkServerProcess]]()
    environment, folder = dict(os.environ), str(Path.cwd())
    try:
        while todo or running:
            while todo and len(running) < processes:
                number, work = todo.pop(0)
                answer, sender = multiprocessing.Pipe(duplex=False)
                process = forkserver_context().Process(
                    target=_run_and_send, args=(work, sender, environment, folder), daemon=True
                )
                with _sigint_blocked():  # interrupted here, the new process would be sent half of its task
                    process.start()
                sender.close()
                running[answer] = (number, process)
            ended = wait(list(running))
            for answer in [one for one in running if one in ended]:
                number, process = running.pop(answer)
                with answer, suppress(EOFError):
                    found[number] = answer.recv()
                process.join()
    finally:
        for _, process in running.values():
            process.kill()
    return found


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Holds Ctrl-C back until the end."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _run_and_send(work: Callable[[], T], sender: Connection, environment: dict[str, str], folder: str) -> None:
    # here: torch takes long to import
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the sweep, which then ends this process
    os.environ.clear()
    os.environ.update(environment)  # the server was started with an earlier one
    os.chdir(folder)
    torch.set_num_threads(1)
    found: T | LabError
    try:
        found = work()
    except LabError as error:
        found = error
    with suppress(ConnectionError):  # the sweep has ended meanwhile
        sender.send(found)
