"""A process that has imported everything and forks one process for every request of `tests._commands`.

A command started as a fresh interpreter spends seconds on its imports. A process forked here has them, and otherwise
begins as `python WORDS` would: with its own arguments, environment, folder, standard streams and signal handlers.
"""

import atexit
import contextlib
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
import types
import warnings
from multiprocessing import util

spawnv_passfds = util.spawnv_passfds


def preload() -> None:
    """Imports what the commands use. Nothing of it starts a thread."""
    gc.disable()
    from siamese_lab.config.compose import compose

    compose()  # Hydra looks for its plugins, and the defaults are read
    compose(["protocol=[verification]"])  # as `tests.conftest.SMALL` has it
    gc.collect()
    gc.freeze()  # the forked processes share these pages
    gc.enable()


def serve(control: socket.socket) -> tuple[dict, list[int]]:
    """Forks a process for each request until the tests have gone. Returns in the forked process alone, with what that
    is to run and the file descriptors of its standard output and error.
    """
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    answers: dict[int, tuple[int, int]] = {}  # pidfd: the process and where its exit code goes
    while True:
        for key, _ in selector.select():
            if key.fileobj is control:
                content, descriptors, *_ = socket.recv_fds(control, 2**20, 3)
                if not content:
                    os._exit(0)
                out, err, answer = descriptors
                if (pid := os.fork()) == 0:
                    for descriptor in (control.detach(), answer, *answers, *(pipe for _, pipe in answers.values())):
                        os.close(descriptor)
                    selector.close()
                    return json.loads(content), [out, err]
                os.close(out)
                os.close(err)
                os.write(answer, f"{pid}\n".encode())
                watched = os.pidfd_open(pid)
                answers[watched] = (pid, answer)
                selector.register(watched, selectors.EVENT_READ)
            else:
                pid, answer = answers.pop(key.fd)
                selector.unregister(key.fd)
                os.close(key.fd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with contextlib.suppress(BrokenPipeError):  # the test did not wait for it
                    os.write(answer, f"{code}\n".encode())
                os.close(answer)


def become(request: dict, streams: list[int]) -> None:
    """Makes of this forked process what a fresh interpreter would be."""
    import torch

    util.spawnv_passfds = fork_forkserver
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["session"]:
        os.setsid()
    for number, descriptor in enumerate(streams, start=1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path[0:1] = [request["cwd"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 0)) or len(os.sched_getaffinity(0)))


def fork_forkserver(path: bytes, words: list[str], kept: list[int]) -> int:
    """In place of `multiprocessing.util.spawnv_passfds`: the server of a sweep is forked as well, and imports nothing
    anew. Other programs are started as ever. Sweeps in a process of pytest itself have a server as users have it.
    """
    if not words[-1].startswith("from multiprocessing.forkserver import"):
        return spawnv_passfds(path, words, kept)
    if (pid := os.fork()) == 0:
        with contextlib.suppress(BaseException):
            for number in signal.valid_signals():
                if callable(signal.getsignal(number)):
                    signal.signal(number, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            low = 3
            for descriptor in [*sorted(kept), os.sysconf("SC_OPEN_MAX")]:
                os.closerange(low, descriptor)
                low = descriptor + 1
            exec(words[-1], {})  # noqa: S102 - the call of the server's main that multiprocessing wrote
        os._exit(0)
    return pid


def execute(words: list[str]) -> None:
    """`python [-W FILTER] -m MODULE ...`, `python -c CODE ...` or `python FILE ...`."""
    if words[0] == "-W":
        warnings.simplefilter(words[1])
        words = words[2:]
    if words[0] == "-m":
        sys.argv = ["-m", *words[2:]]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(words[1], "<string>", "exec"), vars(sys.modules["__main__"]))  # noqa: S102 - the tests' own
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def end_as(words: list[str]) -> None:
    """Runs the words and ends as an interpreter does, but without taking all modules apart."""
    code: object = 0
    try:
        execute(words)
    except SystemExit as stop:
        code = stop.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException as error:
        traceback.print_exc()
        code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    threading._shutdown()  # waits for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):  # nobody reads any more
            stream.flush()
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit((code or 0) & 0xFF)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the tests end this process
    preload()
    asked, opened = serve(socket.socket(fileno=int(sys.argv[1])))
    become(asked, opened)
    end_as(asked["words"])
