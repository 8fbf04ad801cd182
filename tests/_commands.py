"""Commands in processes of their own, forked off a server that has everything imported.

`start` is used as `subprocess.Popen` and `run` as `subprocess.run`, with the words that would follow `python`. What a
test says about the interpreter itself (what is imported, start-up, a closed pipe) needs a fresh one: `subprocess`.
"""

import atexit
import functools
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
PIPE, DEVNULL = subprocess.PIPE, subprocess.DEVNULL


class Process:
    """A forked process: what `subprocess.Popen` has, as far as the tests use it."""

    def __init__(self, words, cwd, env, stdout, stderr, text, start_new_session):
        self.args = [str(word) for word in words]
        self.returncode = None
        self.stdout, out = _stream(stdout, 1, text)
        self.stderr, err = _stream(stderr, 2, text)
        self._answer, answer = os.pipe()
        request = {
            "words": self.args,
            "cwd": str(Path(cwd or Path.cwd()).resolve()),
            "env": dict(os.environ if env is None else env),
            "session": start_new_session,
        }
        socket.send_fds(_server(), [json.dumps(request).encode()], [out, err, answer])
        for descriptor in (out, err, answer):
            os.close(descriptor)
        self.pid = int(self._line())

    def _line(self):
        found = b""
        while not found.endswith(b"\n"):
            if not (byte := os.read(self._answer, 1)):
                raise ChildProcessError("the server that commands are forked from has ended")
            found += byte
        return found

    def poll(self):
        return self.returncode if self._ended(0) else None

    def wait(self, timeout=None):
        if not self._ended(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def _ended(self, timeout):
        if self.returncode is None and select.select([self._answer], [], [], timeout)[0]:
            self.returncode = int(self._line())
            os.close(self._answer)
        return self.returncode is not None

    def communicate(self, timeout=None):
        """All that it still prints, once it has ended; a second call goes on after a TimeoutExpired."""
        if not hasattr(self, "_readers"):
            self._said = {}
            self._readers = [
                threading.Thread(
                    target=lambda name=name, pipe=pipe: self._said.update({name: pipe.read()}), daemon=True
                )
                for name, pipe in (("out", self.stdout), ("err", self.stderr))
                if pipe is not None and not pipe.closed
            ]
            for reader in self._readers:
                reader.start()
        end = None if timeout is None else time.monotonic() + timeout
        for reader in self._readers:
            reader.join(None if end is None else max(0, end - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout)
        self.wait(None if end is None else max(0, end - time.monotonic()))
        self._close()
        return self._said.get("out"), self._said.get("err")

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def _close(self):
        for pipe in (self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._close()
        self.wait()


def start(words, cwd=None, env=None, stdout=None, stderr=None, text=False, start_new_session=False):
    """Starts `python WORDS`."""
    return Process(words, cwd, env, stdout, stderr, text, start_new_session)


def run(words, cwd=None, env=None, timeout=800):
    """Runs `python WORDS`; returns its exit code and what it printed, as text."""
    process = start(words, cwd, env, PIPE, PIPE, text=True)
    try:
        out, err = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run_fresh(words, cwd=None, env=None, timeout=800):
    """As `run`, with a fresh interpreter."""
    return subprocess.run([sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout)


def processor_time():
    """Seconds that the programs which this process started and waited for have used; others that keep the cores busy
    hardly change them. What `start` forks is not in it.
    """
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _stream(wanted, number, text):
    """What the test reads from, or None, and the descriptor that the process writes to."""
    if wanted == PIPE:
        read, write = os.pipe()
        return os.fdopen(read, "r" if text else "rb"), write
    if wanted == DEVNULL:
        return None, os.open(os.devnull, os.O_WRONLY)
    return None, os.dup(number if wanted is None else wanted)


@functools.cache
def _server():
    """The connection to the server of this process of pytest; it is started by the first command."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests._command_server", str(theirs.fileno())],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
    )
    theirs.close()

    def end():
        ours.close()
        server.wait()

    atexit.register(end)
    return ours
