"""Where the bytes of one image come from: a file, or a member of a zip."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from siamese_lab.data.images import MAX_BYTES, BrokenImageError


@dataclass(frozen=True)
class Source:
    """One image's bytes, not read yet.

    Args:
        name: shown to the user, and in `Samples.files`; "/" between folders.
        stamp: changes when the bytes do: path, size and time of change, or size and CRC.
        read: gives the bytes; raises OSError, or BrokenImageError with the reason.
    """

    name: str
    stamp: str
    read: Callable[[], bytes]


def file_source(path: Path, name: str) -> Source:
    """A file on disk; its bytes are read when they are wanted."""
    about = path.stat()

    def read() -> bytes:
        if about.st_size > MAX_BYTES:
            raise BrokenImageError(f"a file of {about.st_size:,} bytes, more than {MAX_BYTES:,}")
        return path.read_bytes()

    return Source(name, f"{path.absolute()}:{about.st_size}:{about.st_mtime_ns}", read)


def stamp(sources: Sequence[Source]) -> str:
    """One hash of the names and stamps of all sources, in their order."""
    return hashlib.sha256(json.dumps([[s.name, s.stamp] for s in sources]).encode()).hexdigest()
