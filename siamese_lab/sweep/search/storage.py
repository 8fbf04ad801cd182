"""Where the trials of a search are kept: a file in the study's folder, or a database by its URL."""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from filelock import FileLock

from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

FUSE = ("fuse.sshfs", "fuse.glusterfs")
NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "lustre", "gpfs", "beegfs", "ceph", "afs", *FUSE)
"""File systems of network disks."""

BUSY = 60  # seconds that a process waits for another one's write to SQLite
OWN_STUDY = "give this search a study of its own, study=NAME"


def refuse_storage(storage: str) -> None:
    """Raises a ValueError if a storage is neither "sqlite", "journal" nor a URL, or if it holds a password."""
    if storage in ("sqlite", "journal"):
        return
    if not re.fullmatch(r"[a-z][\w+]*://.*", storage):
        raise ValueError(
            "storage must be sqlite, journal or the URL of a database, such as postgresql+psycopg://user@host/name, "
            f"got {printable(storage)!r}"
        )
    if re.match(r"[\w+]+://[^/@]*:[^/@]*@", storage):
        raise ValueError(
            "storage must hold no password, since every run's config.yaml would hold it too: leave it out of the URL, "
            "and give it as PGPASSWORD or in ~/.pgpass"
        )


def open_study(storage: str, folder: Path, name: str, better: Literal["low", "high"] | None) -> "Study":
    """Opens the trials of a study, or begins them.

    Args:
        storage: see `Search`.
        folder: `outputs/<study>/search`, which is made.
        better: which way the objective is; None where that is known from the trials.

    Raises:
        LabError: if Optuna or the database's driver is not installed, or the storage cannot be opened.
    """
    optuna = import_optuna()
    folder.mkdir(parents=True, exist_ok=True)
    direction = "minimize" if better == "low" else "maximize"
    lock = FileLock(folder / ".open.lock")  # two processes must not make the tables of one file at once
    with storage_errors(storage, opening=True), lock:
        opened = _open_storage(storage, folder)
        study: Study
        if better is None:
            study = optuna.load_study(storage=opened, study_name=name)
            return study
        study = optuna.create_study(storage=opened, study_name=name, direction=direction, load_if_exists=True)
    if study.direction.name.lower() != direction:
        other = "high" if better == "low" else "low"
        raise LabError(f"the trials of {name} were evaluated by a figure that is better {other}: {OWN_STUDY}")
    return study


def import_optuna() -> ModuleType:
    """Optuna, silent.

    Raises:
        LabError: if it is not installed.
    """
    if find_spec("optuna") is None:
        raise LabError("a search needs Optuna, which is not installed: pip install 'siamese-lab[search]'")
    # here: Optuna takes long to import
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@contextmanager
def without_warnings() -> Iterator[None]:
    """Hides what Optuna warns of: parts of it that may change in its next version, importances of few trials."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def storage_errors(storage: str, opening: bool = False) -> Iterator[None]:
    """Turns the errors of a storage into one clear message.

    Args:
        opening: whether it is being opened: Optuna then raises errors of all kinds.
    """
    internal = import_optuna().exceptions.StorageInternalError
    # here: only a search in a database needs SQLAlchemy
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    kinds = (SQLAlchemyError, internal, *((OSError, ValueError, RuntimeError) if opening else ()))
    try:
        yield
    except (ImportError, ArgumentError) as error:
        driver = "postgresql+psycopg://... with `pip install 'psycopg[binary]'`"
        raise LabError(
            f"search.storage={printable(storage)} needs a database driver that is not installed: "
            f"{driver if storage.startswith('postgres') else 'install it'} ({_first_line(error.__cause__ or error)})"
        ) from error
    except kinds as error:
        cause = error.__cause__ if isinstance(error, internal) else None
        raise LabError(
            f"the search's storage {printable(storage)} does not answer: {_first_line(cause or error)}"
        ) from error


def network_disk(folder: Path) -> str | None:
    """The kind of network disk that a folder lies on, e.g. "nfs4"; None for a disk of this machine, or if unknown."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    real = os.path.realpath(folder)
    above = [(point, kind) for point, kind in mounts if real == point or real.startswith(point.rstrip("/") + "/")]
    kind = max(above, key=lambda found: len(found[0]), default=("", ""))[1]
    return kind if kind in NETWORK else None


def _open_storage(storage: str, folder: Path) -> "BaseStorage":
    path = folder / f"trials.{storage}"
    if storage == "journal":
        # here: Optuna takes long to import
        from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock, JournalStorage

        lock = JournalFileSymlinkLock(str(path))
        lock.acquire()
        try:
            _cut_partial_line(path)
        finally:
            lock.release()
        return JournalStorage(JournalFileBackend(str(path)))
    from optuna.storages import RDBStorage

    if storage == "sqlite":
        return RDBStorage(f"sqlite:///{path.absolute()}", engine_kwargs={"connect_args": {"timeout": BUSY}})
    return RDBStorage(storage, engine_kwargs={"pool_pre_ping": True})  # a connection that was closed is opened anew


def _cut_partial_line(path: Path) -> None:
    """Cuts off the last line of a journal that a full disk or a power cut has left half-written: it spoils the next."""
    if not path.exists():
        return
    with path.open("rb+") as journal:
        end = journal.seek(0, os.SEEK_END)
        tail, position = b"", end
        while position and b"\n" not in tail:
            position = max(0, position - (1 << 12))
            journal.seek(position)
            tail = journal.read(end - position)
        whole = position + tail.rfind(b"\n") + 1
        if whole < end:
            journal.truncate(whole)


def _first_line(error: BaseException) -> str:
    words = str(error).split("\n(Background on this error")[0].strip() or type(error).__name__
    return printable(" ".join(words.split())[:300])
