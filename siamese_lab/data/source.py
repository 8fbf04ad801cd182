"""Where the bytes of one image come from: a file, or a member of a zip."""

import hashlib
import json
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable
from siamese_lab.data.images import MAX_BYTES, BrokenImageError


@dataclass(frozen=True)
class Source:
    """The bytes of one image, not read yet.

    Args:
        name: shown to the user, and in `Samples.files`; "/" between folders.
        stamp: changes when the bytes do: path, size and time of change, or size and CRC.
        read: gives the bytes; raises OSError, or BrokenImageError with the reason.
    """

    name: str
    stamp: str
    read: Callable[[], bytes]


def file_source(path: Path, name: str) -> Source:
    """A file on disk, read when its bytes are asked for.

    A pipe or a device is never opened: it could block, or never end.

    Raises:
        OSError: if there is none.
    """
    reason = ""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            other = "not a regular file but a pipe, a socket or a device"
            reason = "a folder" if stat.S_ISDIR(about.st_mode) else other
        elif about.st_size > MAX_BYTES:
            reason = f"a file of {about.st_size:,} bytes, more than {MAX_BYTES:,}"
    except OSError as error:
        about, reason = path.lstat(), f"a link that leads nowhere ({error.strerror})"

    def read() -> bytes:
        if reason:
            raise BrokenImageError(reason)
        return path.read_bytes()

    return Source(name, f"{path.absolute()}:{about.st_size}:{about.st_mtime_ns}", read)


def data_folder(root: str | Path, wanted: str) -> Path:
    """The folder that `data.root` names.

    Args:
        root: as the user wrote it.
        wanted: ends the message: what the folder should be.

    Raises:
        LabError: if there is none, or it cannot be looked at.
    """
    try:
        path = Path(root).expanduser()
        if stat.S_ISDIR(path.stat().st_mode):
            return path
        reason = "is not a folder"
    except (FileNotFoundError, ValueError):  # no name holds a zero byte
        reason = "is a link to nothing" if path.is_symlink() else "does not exist"
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
    except RuntimeError as error:  # ~ of a user who is not there
        reason = f"is no path ({error})"
    raise LabError(f"data.root {printable(root)} {reason}: give {wanted}")


def joint_stamp(sources: Sequence[Source]) -> str:
    """One hash of the names and stamps of all sources, in their order."""
    return hashlib.sha256(json.dumps([[s.name, s.stamp] for s in sources]).encode()).hexdigest()
