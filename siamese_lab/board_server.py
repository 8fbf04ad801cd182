"""`siamese-lab board`: TensorBoard over a study, or over all, with names that a reader understands."""

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from siamese_lab.board_hparams import write_columns
from siamese_lab.errors import LabError
from siamese_lab.files import read_json
from siamese_lab.runs import outputs

REFRESH = 5.0  # seconds until a new run is seen
LONGEST = 120  # letters of a name; folders on most disks take 255 bytes
COLUMNS = "events.out.tfevents.columns"


def command(study: str | None, host: str = "localhost", port: int = 6006) -> int:
    """Serves until Ctrl-C.

    Args:
        study: a name or a folder; None = all studies.
        host: to listen on.
        port: 0 = any free one.

    Raises:
        LabError: if there is nothing to show, or the port is taken.
    """
    folders = chosen(study)
    port = free(host, port)
    with view(folders) as folder:
        print(f"TensorBoard at http://{host}:{port}/, Ctrl-C ends it", flush=True)
        server = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--host", host, "--port", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            _, words = server.communicate()
        except KeyboardInterrupt:
            server.terminate()
            server.wait()
            return 0
    if server.returncode not in (0, -15):
        raise LabError(f"TensorBoard ended: {words.strip().splitlines()[-1] if words.strip() else server.returncode}", 1)
    return 0


def chosen(study: str | None) -> list[Path]:
    """The folders to show.

    Raises:
        LabError: if there is no such study, or no run at all.
    """
    known = sorted({path.parent.parent for path in outputs().glob("*/*/run.json")})
    if study is None:
        if not known:
            raise LabError(f"{outputs()} holds no run yet: `siamese-lab train` makes one")
        return known
    for path in (Path(study), outputs() / study):
        if study and path.is_dir() and any(path.glob("*/run.json")):
            return [path]
    names = ", ".join(path.name for path in known[:10]) or "none"
    raise LabError(f"no study {study or repr(study)} with runs: there are {names} under {outputs()}")


def free(host: str, port: int) -> int:
    """The port, or a free one for 0.

    Raises:
        LabError: if it cannot be listened on.
    """
    if not 0 <= port <= 65535:
        raise LabError(f"--port must be 0 to 65535, got {port}")
    try:
        with socket.create_server((host, port)) as server:
            return int(server.getsockname()[1])
    except OSError as error:
        hint = "another TensorBoard may run there; --port 0 takes any free one" if port else "give another --host"
        raise LabError(f"cannot listen on {host}:{port}: {error.strerror or error}: {hint}") from error


@contextmanager
def view(folders: list[Path]) -> Iterator[Path]:
    """A folder of links with readable names, kept up to date within it.

    Args:
        folders: of studies; of several each gets a folder of its own.
    """
    with tempfile.TemporaryDirectory(prefix="siamese-lab-board-") as scratch:
        done = threading.Event()

        def keep() -> None:
            while not done.wait(REFRESH):
                with suppress(OSError):
                    for folder in folders:
                        link(folder, Path(scratch) / folder.name if len(folders) > 1 else Path(scratch))

        for folder in folders:
            with suppress(OSError):  # a disk that takes nothing more: the columns are as they were
                write_columns(folder)
            link(folder, Path(scratch) / folder.name if len(folders) > 1 else Path(scratch))
        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        try:
            yield Path(scratch)
        finally:
            done.set()
            thread.join()


def link(study: Path, into: Path) -> None:
    """Links all runs of a study, and its columns, by their names; links that are there stay."""
    into.mkdir(exist_ok=True)
    if (study / COLUMNS).exists():
        shutil.copy(study / COLUMNS, into / COLUMNS)
    for run_id, name in names(study).items():
        target = into / name
        if not target.is_symlink() and any((study / run_id).glob("events.out.tfevents.*")):
            target.symlink_to((study / run_id).resolve(), target_is_directory=True)


def names(study: Path) -> dict[str, str]:
    """{run id: a name that no other run has}: the values of its axes, its own name, or the options by which runs differ."""
    found: dict[str, str] = {}
    infos = {path.parent.name: _info(path) for path in sorted(study.glob("*/run.json"))}
    points = _points(study)
    hparams: dict[str, dict[str, Any]] = {run_id: info.get("hparams", {}) for run_id, info in infos.items()}
    keys = list(dict.fromkeys(key for values in hparams.values() for key in values))
    differing = [key for key in keys if len({str(values.get(key)) for values in hparams.values()}) > 1]
    for run_id, values in hparams.items():
        point = points.get(run_id) or {key: values[key] for key in differing if key in values}
        found[run_id] = _safe(" ".join(f"{key}={value}" for key, value in point.items())) or run_id
    counts: dict[str, int] = {}
    for name in found.values():
        counts[name] = counts.get(name, 0) + 1
    return {run_id: name if counts[name] == 1 else f"{name} {run_id}" for run_id, name in found.items()}


def _points(study: Path) -> dict[str, dict[str, str]]:
    try:
        return {job["run_id"]: dict(job["point"]) for job in read_json(study / "study.json")["jobs"]}
    except (LabError, KeyError, TypeError, ValueError):
        return {}


def _info(path: Path) -> dict[str, Any]:
    with suppress(LabError):
        return read_json(path)
    return {}


def _safe(name: str) -> str:
    """As a folder may be called on any disk."""
    return re.sub(r"[^\w=.,+ -]", "_", name)[:LONGEST].strip().lstrip(".")
