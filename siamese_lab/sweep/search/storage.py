"""Where the trials of a search are kept: a file in the study's folder that several processes share, or a database by
its URL.
"""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock

from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

NETWORK = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "fuse.sshfs",
    "fuse.glusterfs",
    "afs",
)
BUSY = 60  # seconds that a process waits for another one's write to SQLite


def refuse_storage(storage: str) -> None:
    """Raises a ValueError if a storage is neither "sqlite", "journal" nor a URL, or if it holds a password."""
    if storage in ("sqlite", "journal"):
        return
    if not re.fullmatch(r"[a-z][\w+]*://.*", storage):
        raise ValueError(
            "storage must be sqlite, journal or the URL of a database, such as postgresql+psycopg://user@host/name, "
            "got "
            f"{printable(storage)!r}"
        )
    if re.match(r"[\w+]+://[^/@]*:[^/@]*@", storage):
        raise ValueError(
            "storage must hold no password, since every run's config.yaml would hold it too: leave it out of the URL, "
            "and give it as "
            "PGPASSWORD or in ~/.pgpass"
        )


def study(storage: str, folder: Path, name: str, better: Literal["low", "high"] | None) -> "Study":
    """Opens the trials of a study, or begins them.

    Args:
        storage: see `Search`.
        folder: `outputs/<study>/search`, which is made.
        name: of the study.
        better: which way the objective is; None where that is known from the trials.

    Raises:
        LabError: if Optuna or the database's driver is not installed, or the storage cannot be opened.
    """
    optuna = imported()
    folder.mkdir(parents=True, exist_ok=True)
    direction = "minimize" if better == "low" else "maximize"
    # two processes that make the tables of one file at once get in each other's way
    lock = FileLock(folder / ".open.lock")
    with told(storage, opening=True), lock:
        kept = _opened(storage, folder)
        if better is None:
            known: Study = optuna.load_study(storage=kept, study_name=name)
            return known
        found: Study = optuna.create_study(storage=kept, study_name=name, direction=direction, load_if_exists=True)
    if found.direction.name.lower() != direction:
        raise LabError(
            f"the trials of {name} were evaluated by a figure that is better {'high' if better == 'low' else 'low'}: "
            f"{ANEW}"
        )
    return found


ANEW = "give this search a study of its own, study=NAME"


def imported() -> Any:
    """Optuna, silent.

    Raises:
        LabError: if it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise LabError("a search needs Optuna, which is not installed: pip install 'siamese-lab[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@contextmanager
def quietly() -> Iterator[None]:
    """Without what Optuna warns of: parts of it that may change in its next version, importances of few trials."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def told(storage: str, opening: bool = False) -> Iterator[None]:
    """Makes one clear message of what a storage does not do.

    Args:
        storage: see `Search`.
        opening: Optuna raises errors of all kinds then.
    """
    optuna = imported()
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    of_storage = (
        SQLAlchemyError,
        optuna.exceptions.StorageInternalError,
        *((OSError, ValueError, RuntimeError) if opening else ()),
    )
    try:
        yield
    except (ImportError, ArgumentError) as error:
        mend = (
            "postgresql+psycopg://... with `pip install 'psycopg[binary]'`"
            if storage.startswith("postgres")
            else "install it"
        )
        reason = _line(error.__cause__ or error)
        raise LabError(
            f"search.storage={printable(storage)} needs a database driver that is not installed: {mend} ({reason})"
        ) from error
    except of_storage as error:
        reason = _line(
            error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) and error.__cause__ else error
        )
        raise LabError(f"the search's storage {printable(storage)} does not answer: {reason}") from error


def file(storage: str, folder: Path) -> Path | None:
    """The file of a storage in the study's folder; None for a database."""
    return folder / f"trials.{storage}" if storage in ("sqlite", "journal") else None


def network_disk(folder: Path) -> str | None:
    """The kind of network disk that a folder lies on, such as "nfs4"; None for a disk of this machine, or where that
    cannot be told.
    """
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    real = os.path.realpath(folder)
    under = [(point, kind) for point, kind in mounts if real == point or real.startswith(point.rstrip("/") + "/")]
    kind = max(under, key=lambda found: len(found[0]), default=("", ""))[1]
    return kind if kind in NETWORK else None


def _opened(storage: str, folder: Path) -> "BaseStorage":
    path = file(storage, folder)
    if storage == "journal":
        from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock, JournalStorage

        lock = JournalFileSymlinkLock(str(path))
        lock.acquire()
        try:
            _mend(Path(str(path)))
        finally:
            lock.release()
        return JournalStorage(JournalFileBackend(str(path)))
    from optuna.storages import RDBStorage

    if path is None:
        # a connection that the server has closed is opened anew
        return RDBStorage(storage, engine_kwargs={"pool_pre_ping": True})
    return RDBStorage(f"sqlite:///{path.absolute()}", engine_kwargs={"connect_args": {"timeout": BUSY}})


def _mend(path: Path) -> None:
    """Takes the last line off a journal if a full disk or a power cut has left it half written: the next line would
    spoil it.
    """
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


def _line(error: BaseException) -> str:
    words = str(error).split("\n(Background on this error")[0].strip() or type(error).__name__
    return printable(" ".join(words.split())[:300])
