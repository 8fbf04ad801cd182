"""Every image decoded once into one uint8 file in the cache, which is then mapped into memory rather than read.

The store knows nothing of data sets: it takes sources or arrays, and gives a tensor that may be larger than memory.
"""

import hashlib
import itertools
import json
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from siamese_lab.core.errors import LabError
from siamese_lab.core.processes import available_cores
from siamese_lab.core.text import printable
from siamese_lab.data.cache import cache_folder, progress
from siamese_lab.data.images import VERSION as DECODER
from siamese_lab.data.images import BrokenImageError, Fit, quiet
from siamese_lab.data.source import Source

VERSION = 1  # of the files' layout
CHUNK_BYTES = 1 << 25  # decoded pixels held in memory while building
WARM_UP = 8  # images decoded to see how long one takes
TINY_SECONDS = (
    0.001  # an image that decodes in less is mostly Python, which threads only hand to and fro (measured: 1.7 x slower)
)
LISTED = 5  # broken images named in a message

Images = NDArray[np.uint8]
Chunks = Callable[[dict[str, Any]], Iterable[Images]]
Note = Callable[[Image.Image], str]
Accept = Callable[[Sequence[str], Sequence[str]], None]


@dataclass(frozen=True)
class Stored:
    """An opened store.

    Args:
        images: uint8 (M, C, H, W), mapped from the file: pages are read when they are gathered, and never copied as a
            whole.
        content: SHA-256 of shape and pixels, computed once when the store was built.
        extra: what its builder noted; JSON.
        index: the file that holds `content` and `extra`.
    """

    images: Tensor
    content: str
    extra: dict[str, Any]
    index: Path


def stored(name: str, key: object, chunks: Chunks) -> Stored:
    """Opens the store of `key`, building it first where it is not there, or not whole.

    Args:
        name: begins the file's name, for people who look into the cache.
        key: JSON; all that decides the pixels.
        chunks: called with the dict that becomes `extra`; gives arrays (n, C, H, W), uint8, one after the other.

    Raises:
        LabError: if the cache cannot be written, or no image came.
    """
    digest = hashlib.sha256(json.dumps([VERSION, key], sort_keys=True).encode()).hexdigest()[:24]
    file = cache_folder("store") / f"{name}-{digest}.u8"
    found = _opened(file)
    if found is None:
        with FileLock(f"{file}.lock"):
            found = _opened(file)  # another process may have built it meanwhile
            if found is None:
                _build(file, chunks)
                found = _opened(file)
    if found is None:
        raise LabError(
            f"the store {file} was built but cannot be read back: check the disk, or set SIAMESE_LAB_CACHE to another "
            "one"
        )
    return found


def decoded(
    name: str,
    sources: Callable[[], Sequence[Source]],
    key: str,
    fit: Fit,
    broken: str,
    where: str,
    note: Note | None = None,
    accept: Accept | None = None,
) -> Stored:
    """The store of these sources; `extra` has `names` (of the images in the store), `broken` {name: reason} and
    `notes`.

    Args:
        name: begins the file's name.
        sources: gives them in the order of the store's images; called only when the store must be built.
        key: changes whenever the sources do, see `source.stamp`.
        fit: how each becomes an array.
        broken: "refuse" (LabError naming them) or "skip" (left out, listed, one warning).
        where: the folder or file that the names lie in, for messages.
        note: gives a string for each image as it was before fitting, kept in `extra["notes"]`; None for none.
        accept: called with all names and notes before the store is put into place; raises where they are not to be
            kept.

    Raises:
        LabError: for broken images where they are refused, or if nothing is left.
        ValueError: if `broken` is neither word.
    """
    if broken not in ("refuse", "skip"):
        raise ValueError(f"broken must be refuse or skip, got {broken!r}")
    whole_key = [key, asdict(fit), DECODER, broken, note is not None]
    made = stored(name, whole_key, lambda extra: _decode_all(sources(), fit, broken, where, note, accept, extra))
    if made.extra["broken"]:
        rest = f" (all of them are listed in {made.index})" if len(made.extra["broken"]) > LISTED else ""
        warnings.warn(f"skipped {_listed(made.extra['broken'], where)}{rest}", stacklevel=2)
    return made


def _decode_all(
    sources: Sequence[Source],
    fit: Fit,
    broken: str,
    where: str,
    note: Note | None,
    accept: Accept | None,
    extra: dict[str, Any],
) -> Iterator[Images]:
    if not sources:
        raise LabError(f"{where} holds none of the images that it should: copy it again")
    extra |= {"names": [], "broken": {}, "notes": []}
    first: tuple[int, ...] = ()  # the shape that all must have

    def one(source: Source) -> tuple[Images, str] | str:
        try:
            image = fit.opened(source.read())
            return fit.array(image), note(image) if note else ""
        except BrokenImageError as error:
            return str(error)
        except OSError as error:
            return error.strerror or str(error)

    # images a chunk; few until their size is known
    step = (
        max(WARM_UP, min(4096, CHUNK_BYTES // (fit.channels * prod(fit.size))))
        if isinstance(fit.size, tuple)
        else WARM_UP
    )
    with ThreadPoolExecutor(_threads()) as pool, progress("decoding", len(sources)) as advance, quiet():
        started = time.perf_counter()
        done = [one(source) for source in sources[:WARM_UP]]
        tiny = time.perf_counter() - started < WARM_UP * TINY_SECONDS
        at = 0
        while at < len(sources):
            part = sources[at : at + step]
            good: list[Images] = []
            rest = part[len(done) :]
            results = itertools.chain(done, map(one, rest) if tiny else pool.map(one, rest))
            done = []
            for source, result in zip(part, results, strict=True):
                if isinstance(result, str):
                    extra["broken"][source.name] = result
                    continue
                first = first or result[0].shape
                if result[0].shape != first:
                    raise LabError(
                        f"images of unlike sizes in {where}: {printable(source.name)} is {_sides(result[0].shape)}, "
                        "others "
                        f"{_sides(first)}; give a size that all are fitted to, e.g. data.size=64"
                    )
                good.append(result[0])
                extra["names"].append(source.name)
                if note:
                    extra["notes"].append(result[1])
            advance(len(part))
            at += len(part)
            step = max(WARM_UP, min(4096, CHUNK_BYTES // prod(first))) if first else step
            if good and not (extra["broken"] and broken == "refuse"):
                yield np.stack(good)
    if extra["broken"] and (broken == "refuse" or not extra["names"]):
        raise LabError(
            f"refused {_listed(extra['broken'], where)}; mend or remove them"
            + (", or leave them out with data.broken=skip" if broken == "refuse" else "")
        )
    if accept:
        accept(extra["names"], extra["notes"])


def _threads() -> int:
    return min(16, available_cores())


def _sides(shape: tuple[int, ...]) -> str:
    return f"{shape[2]} x {shape[1]}"


def _listed(broken: dict[str, str], where: str) -> str:
    shown = "; ".join(f"{printable(name)}: {printable(reason)}" for name, reason in list(broken.items())[:LISTED])
    more = f"; and {len(broken) - LISTED} more" if len(broken) > LISTED else ""
    return f"{len(broken)} broken image{'s' * (len(broken) > 1)} in {where}: {shown}{more}"


def _opened(file: Path) -> Stored | None:
    """The store if it is there and whole, else None.

    The index is sealed: one that was altered, cut or written by something else is none, whatever it says. Pixels that
    were touched since they were written are hashed again.
    """
    path = file.with_suffix(".json")
    try:
        if not (path.is_file() and file.is_file()):
            return None
        index = json.loads(path.read_text(encoding="utf-8"))
        if (
            index.pop("seal") != _seal(index)
            or index["version"] != VERSION
            or file.stat().st_size != prod(index["shape"])
        ):
            return None
        flat = torch.from_file(str(file), shared=False, size=prod(index["shape"]), dtype=torch.uint8)
        if (
            file.stat().st_mtime_ns != index["written"]
            and hashlib.sha256(flat.numpy().data).hexdigest() != index["pixels"]
        ):
            return None
        return Stored(flat.view(index["shape"]), index["content"], index["extra"], path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _seal(index: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()


def _build(file: Path, chunks: Chunks) -> None:
    """Writes beside the target, then renames; the index comes last, so that what has one is whole."""
    part = file.with_suffix(".part")
    extra: dict[str, object] = {}
    pixels, count, shape = hashlib.sha256(), 0, ()
    try:
        part.unlink(missing_ok=True)  # of a killed process; were it a link, what it leads to would be overwritten
        file.with_suffix(".json").unlink(missing_ok=True)
        with part.open("wb") as out:
            for chunk in chunks(extra):
                data = np.ascontiguousarray(chunk, dtype=np.uint8).reshape(-1).data
                out.write(data)
                pixels.update(data)
                count, shape = count + len(chunk), chunk.shape[1:]
            out.flush()
            os.fsync(out.fileno())
        if not count:
            raise LabError("there are no images to store")
        part.replace(file)
        index = {
            "version": VERSION,
            "shape": [count, *shape],
            "content": hashlib.sha256(f"{count} {shape} {pixels.hexdigest()}".encode()).hexdigest(),
            "pixels": pixels.hexdigest(),
            "written": file.stat().st_mtime_ns,
            "extra": extra,
        }
        with part.open("w", encoding="utf-8") as out_index:
            json.dump(index | {"seal": _seal(index)}, out_index)
            out_index.flush()
            os.fsync(out_index.fileno())
        part.replace(file.with_suffix(".json"))
    except OSError as error:  # of the cache alone: what reading an image raises is a broken image
        raise LabError(
            f"cannot write the store of decoded images in {file.parent} ({error.strerror}): make room, or set "
            "SIAMESE_LAB_CACHE"
        ) from error
    finally:
        with suppress(OSError):  # a folder in its place
            part.unlink(missing_ok=True)
