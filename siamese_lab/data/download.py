"""Downloads of published files: resumed after a break, and checked before they get their name."""

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
    """A failure that another attempt may mend."""


def download(
    url: str,
    target: Path,
    checksum: str,
    max_bytes: int = 1 << 34,
    retries: int = 4,
    timeout: float = 30.0,
    backoff: float = 1.0,
) -> Path:
    """Downloads `url` to `target`, unless the file is there with the right checksum.

    What has come so far lies in `target`.part; the next attempt, or the next call, resumes there if the server can.

    Args:
        url: http or https.
        target: its folder must exist.
        checksum: "sha256:<hex>" or "md5:<hex>" of the whole file.
        max_bytes: a download of more is broken off.
        retries: attempts after the first that failed.
        timeout: seconds without a byte after which an attempt is given up.
        backoff: seconds before the first retry, doubled for each one more.

    Raises:
        LabError: if it cannot be downloaded, or has another checksum; `target` is not written then.
        ValueError: for another kind of address or checksum.

    Returns:
        `target`.
    """
    require_web_address(url)
    if checksum.partition(":")[0] not in ("sha256", "md5"):
        raise ValueError(f"checksum must be sha256:<hex> or md5:<hex>, got {checksum!r}")
    part = target.with_name(target.name + ".part")
    with FileLock(f"{target}.lock"):
        if target.is_file() and _compute_checksum(target, checksum) == checksum:
            return target
        reason = ""
        for attempt in range(retries + 1):
            if attempt:
                time.sleep(backoff * 2 ** (attempt - 1))
            resumed = part.exists() and part.stat().st_size > 0
            try:
                _fetch(url, part, max_bytes, timeout)
                came = _compute_checksum(part, checksum)
                if came == checksum:
                    return part.replace(target)
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
        raise _download_error(url, reason)


def require_web_address(url: str) -> None:
    """Refuses any address but http and https, so that a config can name no local file.

    Raises:
        ValueError: for another address.
    """
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        scheme = ""
    if scheme not in ("http", "https"):
        raise ValueError(f"address must begin with http:// or https://, got {printable(url)}")


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https alone; urllib's own handler also follows them to ftp."""

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
            require_web_address(newurl)
        except ValueError as error:
            raise _download_error(req.full_url, f"the server sends us elsewhere: {error}") from error
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download_error(url: str, reason: str) -> LabError:
    words = printable(" ".join(reason.split()))
    return LabError(
        f"cannot download {printable(url)}: {words}. Fetch it by hand and give its folder, e.g. data.root=FOLDER, or "
        "try again later"
    )


def _fetch(url: str, part: Path, max_bytes: int, timeout: float) -> None:
    """Appends to `part` what it lacks of the file."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "siamese-lab", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme was checked
    try:
        with _open(request, timeout) as answer:
            start, total = _content_range(answer, part, have)
            if total is not None and total > max_bytes:
                raise _download_error(url, f"the server announces {total:,} bytes, more than {max_bytes:,}")
            with (
                part.open("r+b" if start else "wb") as out,
                progress(f"downloading {part.stem}", total, bytes_=True) as advance,
            ):
                out.seek(start)
                out.truncate()
                advance(start)
                at = start
                for block in _read_blocks(answer):
                    at += len(block)
                    if at > max_bytes:
                        part.unlink()  # no part of the file that is wanted
                        raise _download_error(url, f"more than {max_bytes:,} bytes came")
                    out.write(block)
                    advance(len(block))
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing lies behind what we have: the part is whole, or no part of this file
            if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
                return
            part.unlink(missing_ok=True)
            raise _RetryError("the part that was there did not fit the server's file") from error
        if error.code < 500 and error.code not in (408, 429):
            raise _download_error(url, f"the server answers {error.code} {error.reason}") from error
        raise _RetryError(f"the server answers {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _RetryError(str(reason) or type(error).__name__) from error
    if total is not None and at != total:
        raise _RetryError(f"{at:,} of {total:,} bytes came")


def _open(request: urllib.request.Request, timeout: float) -> http.client.HTTPResponse:
    try:
        answer = urllib.request.build_opener(_WebOnly).open(request, timeout=timeout)
        return cast(http.client.HTTPResponse, answer)
    except (urllib.error.URLError, http.client.HTTPException):
        raise
    except (OSError, ValueError) as error:  # a stall or a break before the first byte, or an address that is none
        raise _RetryError(str(error) or type(error).__name__) from error


def _content_range(answer: http.client.HTTPResponse, part: Path, have: int) -> tuple[int, int | None]:
    """Where in the file the answer begins, and the length of the whole file, None if unknown."""
    if answer.status == 206:
        extent, _, total = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if extent.partition("-")[0] == str(have):
            return have, _parse_length(total)
        part.unlink(missing_ok=True)  # the whole of it is asked for next
        raise _RetryError("the server answered with another part of the file than was asked")
    return 0, _parse_length(answer.headers.get("Content-Length", ""))


def _parse_length(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _read_blocks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            block = answer.read1(BLOCK)
        except (OSError, http.client.HTTPException) as error:  # a stall or a break: what came stays in the part
            raise _RetryError(str(error) or type(error).__name__) from error
        if not block:
            return
        yield block


def _compute_checksum(file: Path, checksum: str) -> str:
    kind = checksum.partition(":")[0]
    with file.open("rb") as data:
        digest = hashlib.file_digest(data, lambda: hashlib.new(kind, usedforsecurity=False))
    return f"{kind}:{digest.hexdigest()}"
