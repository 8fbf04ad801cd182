"""Zip files read without unpacking; one with a hostile member is refused as a whole."""

import lzma
import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path

from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable
from siamese_lab.data.images import MAX_BYTES, BrokenImageError
from siamese_lab.data.source import Source

MAX_MEMBERS = 2_000_000
MAX_TOTAL = 1 << 36  # bytes unpacked
MIN_HEADER = 30  # bytes before a member
MAX_RATIO = 200  # unpacked to packed; honest zips stay near 1, since images are compressed already
REMEDY = "copy or download it again"
BROKEN = (  # raised by zipfile
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    RuntimeError,
)
SMALL = 1 << 20  # bytes; below it any ratio is harmless


class Archive:
    """The regular files of a zip, which stays open; several threads may read members at once.

    Args:
        path: of the zip.

    Raises:
        LabError: if it is no zip, or a member is encrypted, a link, a duplicate, has a path that leads out of the
            archive, shares its bytes with another, or unpacks to suspiciously many bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (*BROKEN, OSError) as error:
            raise LabError(f"{printable(path)} cannot be read as a zip ({printable(error)}): {REMEDY}") from error
        try:
            self._members = self._check_members()
        except LabError:
            self._zip.close()
            raise

    @property
    def names(self) -> list[str]:
        """Paths of the files within, sorted."""
        return sorted(self._members)

    def close(self) -> None:
        """Closes the zip."""
        self._zip.close()

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, name: str) -> bytes:
        """Bytes of a file within.

        Raises:
            BrokenImageError: if they cannot be unpacked or do not fit their checksum.
        """
        member = self._members[name]
        if member.file_size > MAX_BYTES:
            raise BrokenImageError(f"a file of {member.file_size:,} bytes, more than {MAX_BYTES:,}")
        try:
            return self._zip.read(member)
        except (*BROKEN, OSError) as error:
            raise BrokenImageError(f"damaged within its zip ({printable(error)})") from error

    def source(self, name: str) -> Source:
        """The file as a source; its stamp is size and CRC, the same for any copy of the zip."""
        member = self._members[name]
        return Source(name, f"{member.file_size}:{member.CRC:08x}", lambda: self.read(name))

    def _check_members(self) -> dict[str, zipfile.ZipInfo]:
        members = self._zip.infolist()
        if len(members) > MAX_MEMBERS:
            raise LabError(
                f"refused {printable(self.path)}: {len(members):,} members, more than {MAX_MEMBERS:,}; {REMEDY}"
            )
        ordered = sorted(members, key=lambda member: member.header_offset)
        ends = [*(member.header_offset for member in ordered), self._zip.start_dir][1:]
        shared = {
            m.filename
            for m, end in zip(ordered, ends, strict=True)
            if m.header_offset + MIN_HEADER + m.compress_size > end
        }
        found: dict[str, zipfile.ZipInfo] = {}
        seen: set[str] = set()
        for member in members:
            reason = _defect(member)
            if not reason and member.filename in seen:
                reason = "is there twice"
            if not reason and member.filename in shared:
                reason = "shares its bytes with another"  # a bomb of a few kilobytes can give petabytes so
            if reason:
                raise LabError(f"refused {printable(self.path)}: its member {member.filename!r} {reason}; {REMEDY}")
            seen.add(member.filename)
            if not member.is_dir():
                found[member.filename] = member
        total, packed = sum(m.file_size for m in found.values()), sum(m.compress_size for m in found.values())
        if total > MAX_TOTAL or (total > 64 * SMALL and total > MAX_RATIO * packed):
            raise LabError(f"refused {printable(self.path)}: {packed:,} bytes unpack to {total:,}; {REMEDY}")
        return found


def _defect(member: zipfile.ZipInfo) -> str:
    """What is wrong with a member; empty if nothing is."""
    name, kind = member.orig_filename, stat.S_IFMT(member.external_attr >> 16)
    if "\0" in name or "\\" in name or name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
        return "has a path that leads out of the archive"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & 0x1:
        return "is encrypted"
    if member.file_size > SMALL and member.file_size > MAX_RATIO * max(1, member.compress_size):
        return f"unpacks from {member.compress_size:,} to {member.file_size:,} bytes"
    return ""
