"""Files from their publishers: resumed, checked before they appear under their name."""

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast
from urllib.parse import urlsplit

from filelock import FileLock

from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable
from siamese_lab.data.cache import progress

BLOCK = 1 << 18


class _RetryError(Exception):
    """Something that may go better next time."""


def download(
    url: str,
    target: Path,
    checksum: str,
    most: int = 1 << 34,
    retries: int = 4,
    patience: float = 30.0,
    backoff: float = 1.0,
) -> Path:
    """Gives `target`, fetched from `url` unless it is there and right.

    What has come so far lies in `target`.part; the next attempt, or the next call, goes on from there where the server
    can.

    Args:
        url: http or https.
        target: the file to make; its folder must exist.
        checksum: "sha256:<hex>" or "md5:<hex>" of the whole file.
        most: bytes; a server that sends more is not listened to.
        retries: attempts after the first that failed.
        patience: seconds without a byte after which an attempt is given up.
        backoff: seconds before the first retry, doubled for each one more.

    Raises:
        LabError: if it cannot be had, or is not what was expected; nothing stands under `target` then.
        ValueError: for another kind of address or checksum.
    """
    refuse_address(url)
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
                _fetch(url, part, most, patience)
                came = _digest(part, checksum)
                if came == checksum:
                    part.replace(target)
                    return target
                part.unlink()
            except _RetryError as error:
                reason = str(error)
                continue
            except OSError as error:
                raise LabError(
                    f"cannot write {part} ({error.strerror or error}): make room, or set SIAMESE_LAB_CACHE"
                ) from error
            reason = f"its checksum is {came}, expected {checksum}"
            if not resumed:  # a whole file, and a wrong one: asking again would give the same
                break
        raise _failed(url, reason)


def refuse_address(url: str) -> None:
    """Sees to it that an address is one of the web: a file's or another program's is not for a config to name.

    Raises:
        ValueError: for another one.
    """
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        scheme = ""
    if scheme not in ("http", "https"):
        raise ValueError(f"address must begin with http:// or https://, got {printable(url)}")


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows a server to another one, but not to ftp, which urllib's own would."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        try:
            refuse_address(newurl)
        except ValueError as error:
            raise _failed(req.full_url, f"the server sends us elsewhere: {error}") from error
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _failed(url: str, reason: str) -> LabError:
    words = printable(" ".join(reason.split()))
    return LabError(
        f"cannot download {printable(url)}: {words}. Fetch it by hand and give its folder, e.g. data.root=FOLDER, or "
        "try again later"
    )


def _fetch(url: str, part: Path, most: int, patience: float) -> None:
    """Adds to `part` until the server says that it is whole."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "siamese-lab", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme was checked
    try:
        with _opened(request, patience) as answer:
            start, total = _extent(answer, part, have)
            if total is not None and total > most:
                raise _failed(url, f"the server announces {total:,} bytes, more than {most:,}")
            with (
                part.open("r+b" if start else "wb") as out,
                progress(f"downloading {part.stem}", total, bytes_=True) as advance,
            ):
                out.seek(start)
                out.truncate()
                advance(start)
                at = start
                for block in _blocks(answer):
                    at += len(block)
                    if at > most:
                        part.unlink()  # no part of the file that is wanted
                        raise _failed(url, f"more than {most:,} bytes came")
                    out.write(block)
                    advance(len(block))
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing lies behind what we have: the part is whole, or no part of this file
            if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
                return
            part.unlink(missing_ok=True)
            raise _RetryError("the part that was there did not fit the server's file") from error
        if error.code < 500 and error.code not in (408, 429):
            raise _failed(url, f"the server answers {error.code} {error.reason}") from error
        raise _RetryError(f"the server answers {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _RetryError(str(reason) or type(error).__name__) from error
    if total is not None and at != total:
        raise _RetryError(f"{at:,} of {total:,} bytes came")


def _opened(request: urllib.request.Request, patience: float) -> http.client.HTTPResponse:
    try:
        answer = urllib.request.build_opener(_WebOnly).open(request, timeout=patience)
        return cast(http.client.HTTPResponse, answer)
    except (urllib.error.URLError, http.client.HTTPException):
        raise
    except (OSError, ValueError) as error:  # a stall or a break before the first byte, or an address that is none
        raise _RetryError(str(error) or type(error).__name__) from error


def _extent(answer: http.client.HTTPResponse, part: Path, have: int) -> tuple[int, int | None]:
    """Where in the file the answer begins, and the length of the whole file; None for one that is not said, or is no
    number.
    """
    if answer.status == 206:
        extent, _, total = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if extent.partition("-")[0] == str(have):
            return have, _number(total)
        part.unlink(missing_ok=True)  # the whole of it is asked for next
        raise _RetryError("the server answered with another part of the file than was asked")
    return 0, _number(answer.headers.get("Content-Length", ""))


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


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
