"""`siamese-lab board`: TensorBoard over a study, or over all, with names that a reader understands."""

import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from siamese_lab.board_view import View
from siamese_lab.errors import LabError
from siamese_lab.event_files import without_tensorflow
from siamese_lab.runs import outputs

REFRESH = 5  # seconds until TensorBoard looks for new data
OURS = REFRESH + 1.0  # seconds until the view is brought up to date: what it takes away is gone when TensorBoard looks
HIGHEST = 65535  # of a port


def command(study: str | None, host: str = "localhost", port: int = 6006) -> int:
    """Serves until Ctrl-C, or until it is told to end.

    Args:
        study: a name or a folder; None = all studies.
        host: to listen on.
        port: 0 = any free one.

    Raises:
        LabError: if there is nothing to show, or the port is taken.
    """
    folders = chosen(study)
    _refuse(host, port)
    with tempfile.TemporaryDirectory(prefix="siamese-lab-board-", ignore_cleanup_errors=True) as scratch, _ending() as end:
        view = View(Path(scratch), folders)
        shown = view.refresh()
        address = _serve(Path(scratch), host, port)
        what = f"the study {folders[0].name}" if len(folders) == 1 else f"{len(folders)} studies"
        print(f"TensorBoard shows {what}, {shown:,} {'run' if shown == 1 else 'runs'}, at {address}\nCtrl-C ends it", flush=True)
        failed = ""
        while not end.wait(OURS):
            try:
                view.refresh()
            except (OSError, LabError) as error:  # a disk that is full, a study that is being moved: what was shown stays
                if str(error) != failed:
                    print(f"siamese-lab: new runs are not shown: {error}", file=sys.stderr)
                failed = str(error)
    return 0


def chosen(study: str | None) -> list[Path]:
    """The folders to show.

    Raises:
        LabError: if there is no such study, or no run at all.
    """
    begun = {path.parent.parent for path in outputs().glob("*/*/run.json")}
    known = sorted(begun | {path.parent for path in outputs().glob("*/study.json")})
    if study is None:
        if not known:
            raise LabError(f"{outputs()} holds no run yet: `siamese-lab train` makes one")
        return known
    for path in (Path(study), outputs() / study):
        if study and ((path / "study.json").is_file() or any(path.glob("*/run.json"))):
            return [path.resolve()]
    names = ", ".join(path.name for path in known[:10]) or "none"
    more = f" and {len(known) - 10} more" if len(known) > 10 else ""
    raise LabError(f"no study {study or repr(study)} with runs: there are {names}{more} under {outputs()}")


def _refuse(host: str, port: int) -> None:
    """Raises a LabError if that cannot be listened on."""
    if not 0 <= port <= HIGHEST:
        raise LabError(f"--port must be 0 to {HIGHEST}, got {port}")
    try:
        kind, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.create_server(place[:2], family=kind):
            pass
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = (
            "another TensorBoard may run there; --port 0 takes any free one"
            if isinstance(error, OSError) and port
            else "give another --host"
        )
        if isinstance(error, socket.gaierror):
            hint = "give another --host, e.g. localhost, or 0.0.0.0 for all who can reach this machine"
        raise LabError(f"cannot listen on {host}:{port}: {reason}: {hint}") from error


def _serve(folder: Path, host: str, port: int) -> str:
    """Starts TensorBoard in this process, with its data server, which ends with it; returns the address.

    Raises:
        LabError: if it cannot be started.
    """
    without_tensorflow()
    from tensorboard import default, program
    from tensorboard.data import server_ingester

    try:
        server_ingester.get_server_binary()
        fast = "true"
    except server_ingester.NoDataServerError:  # a system that it is not built for: slower with many runs
        fast = "false"
    board: Any = program.TensorBoard(plugins=default.get_plugins())
    words = {"logdir": folder, "host": host, "port": port, "reload_interval": REFRESH, "load_fast": fast}
    board.configure(argv=("siamese-lab", *(f"--{key}={value}" for key, value in words.items())))
    try:
        return str(board.launch())
    except (program.TensorBoardServerException, SystemExit) as error:
        raise LabError(f"TensorBoard does not start on {host}:{port}: {error}", 1) from error


@contextmanager
def _ending() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, and every other signal that asks a process to end: the folder of links is then removed."""
    event = threading.Event()
    kinds = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {kind: signal.signal(kind, lambda *_: event.set()) for kind in kinds}
    try:
        yield event
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
