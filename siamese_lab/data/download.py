"""Files from their publishers: resumed, checked before they appear under their name."""

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock

from siamese_lab.data.cache import progress
from siamese_lab.errors import LabError

BLOCK = 1 << 18
MAX_BYTES = 1 << 34


class _RetryError(Exception):
    """Something that may go better next time."""


def download(url: str, target: Path, checksum: str, retries: int = 4, patience: float = 30.0, backoff: float = 1.0) -> Path:
    """Gives `target`, fetched from `url` unless it is there and right.

    What has come so far lies in `target`.part; the next attempt, or the next call, goes on from there where the server can.

    Args:
        url: http or https.
        target: the file to make; its folder must exist.
        checksum: "sha256:<hex>" or "md5:<hex>" of the whole file.
        retries: attempts after the first that failed.
        patience: seconds without a byte after which an attempt is given up.
        backoff: seconds before the first retry, doubled for each one more.

    Raises:
        LabError: if it cannot be had, or is not what was expected; nothing stands under `target` then.
        ValueError: for another kind of address or checksum.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"url must begin with http:// or https://, got {url}")
    if checksum.partition(":")[0] not in ("sha256", "md5"):
        raise ValueError(f"checksum must be sha256:<hex> or md5:<hex>, got {checksum!r}")
    part = target.with_name(target.name + ".part")
    with FileLock(f"{target}.lock"):
        if target.is_file() and _digest(target, checksum) == checksum:
            return target
        reason = ""
        for attempt in range(retries + 1):
            if attempt:
                time.sleep(backoff * 2 ** (attempt - 1))
            resumed = part.exists() and part.stat().st_size > 0
            try:
                _fetch(url, part, patience)
            except _RetryError as error:
                reason = str(error)
                continue
            except OSError as error:
                raise LabError(f"cannot write {part} ({error.strerror or error}): make room, or set SIAMESE_LAB_CACHE") from error
            came = _digest(part, checksum)
            if came == checksum:
                part.replace(target)
                return target
            part.unlink()
            reason = f"its checksum is {came}, expected {checksum}"
            if not resumed:  # a whole file, and a wrong one: asking again would give the same
                break
        raise LabError(f"cannot download {url}: {reason}. Fetch it by hand and give its folder, e.g. data.root=FOLDER, or try again later")


def _fetch(url: str, part: Path, patience: float) -> None:
    """Adds to `part` until the server says that it is whole."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "siamese-lab", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme was checked
    try:
        with urllib.request.urlopen(request, timeout=patience) as answer:  # noqa: S310
            start, total = _extent(answer, have)
            if total is not None and total > MAX_BYTES:
                raise LabError(f"cannot download {url}: the server announces {total:,} bytes, more than {MAX_BYTES:,}")
            with part.open("r+b" if start else "wb") as out, progress(f"downloading {part.stem}", total, bytes_=True) as advance:
                out.seek(start)
                out.truncate()
                advance(start)
                at = start
                for block in _blocks(answer):
                    out.write(block)
                    at += len(block)
                    advance(len(block))
                    if at > MAX_BYTES:
                        raise LabError(f"cannot download {url}: more than {MAX_BYTES:,} bytes came")
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing lies behind what we have: the part is whole, or no part of this file
            if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
                return
            part.unlink(missing_ok=True)
            raise _RetryError("the part that was there did not fit the server's file") from error
        if error.code < 500 and error.code not in (408, 429):
            raise LabError(f"cannot download {url}: the server answers {error.code} {error.reason}") from error
        raise _RetryError(f"the server answers {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException) as error:
        raise _RetryError(str(getattr(error, "reason", error)) or type(error).__name__) from error
    if total is not None and at != total:
        raise _RetryError(f"{at:,} of {total:,} bytes came")


def _extent(answer: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
    """Where in the file the answer begins, and the length of the whole file."""
    length = answer.headers.get("Content-Length")
    if answer.status == 206:
        extent, _, total = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if extent.partition("-")[0] == str(have):
            return have, int(total) if total.isdigit() else None
        raise _RetryError("the server answered with another part of the file than was asked")
    return 0, int(length) if length and length.isdigit() else None


def _blocks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            block = answer.read1(BLOCK)
        except (OSError, http.client.HTTPException) as error:  # a stall or a break: what came stays in the part
            raise _RetryError(str(error) or type(error).__name__) from error
        if not block:
            return
        yield block


def _digest(file: Path, checksum: str) -> str:
    kind = checksum.partition(":")[0]
    with file.open("rb") as data:
        return f"{kind}:{hashlib.file_digest(data, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()}"
