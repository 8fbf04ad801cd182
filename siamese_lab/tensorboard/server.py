"""Starts TensorBoard's server."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from siamese_lab.core.errors import LabError
from siamese_lab.tensorboard.event_files import without_tensorflow

REFRESH = 5  # seconds until TensorBoard looks for new data
HIGHEST = 65535  # port number


def check_port(host: str, port: int) -> None:
    """Raises a LabError if this address cannot be listened on."""
    if not 0 <= port <= HIGHEST:
        raise LabError(f"--port must be 0 to {HIGHEST}, got {port}")
    try:
        kind, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.create_server(place[:2], family=kind):
            pass
    except (OSError, UnicodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        hint = (
            "another TensorBoard may run there; --port 0 takes any free one"
            if isinstance(error, OSError) and port
            else "give another --host"
        )
        if isinstance(error, socket.gaierror):
            hint = "give another --host, e.g. localhost, or 0.0.0.0 for all who can reach this machine"
        raise LabError(f"cannot listen on {host}:{port}: {reason}: {hint}") from error


def start_server(folder: Path, host: str, port: int) -> str:
    """Starts TensorBoard in this process, with its data server, which ends with it; returns the address.

    Raises:
        LabError: if it cannot be started.
    """
    without_tensorflow()
    # here: TensorBoard takes long to import
    from tensorboard import default, program
    from tensorboard.data import server_ingester

    try:
        server_ingester.get_server_binary()
        fast = "true"
    except server_ingester.NoDataServerError:  # a system that it is not built for: slower with many runs
        fast = "false"
    board = program.TensorBoard(plugins=default.get_plugins())
    words = {"logdir": folder, "host": host, "port": port, "reload_interval": REFRESH, "load_fast": fast}
    board.configure(argv=("siamese-lab", *(f"--{key}={value}" for key, value in words.items())))
    try:
        return str(board.launch())
    except (program.TensorBoardServerException, SystemExit) as error:
        raise LabError(f"TensorBoard does not start on {host}:{port}: {error}", 1) from error


@contextmanager
def stop_event() -> Iterator[threading.Event]:
    """An event set by Ctrl-C, SIGTERM and SIGHUP, so that the caller can remove its temporary folder."""
    event = threading.Event()
    kinds = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__]
    before = {kind: signal.signal(kind, lambda *_: event.set()) for kind in kinds}
    try:
        yield event
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
