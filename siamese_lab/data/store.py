"""Image arrays in one uint8 file in the cache, which is mapped into memory rather than read.

The store knows nothing of data sets: it takes arrays, and gives a tensor that may be larger than memory.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from siamese_lab.core.errors import LabError
from siamese_lab.core.mappings import JsonObject
from siamese_lab.data.cache import cache_folder

VERSION = 1  # of the files' layout

Images = NDArray[np.uint8]
Chunks = Callable[[JsonObject], Iterable[Images]]


@dataclass(frozen=True)
class Store:
    """An opened store.

    Args:
        images: uint8 (M, C, H, W), mapped from the file: pages are read when they are gathered, never all at once.
        content: SHA-256 of shape and pixels, computed once when the store was built.
        extra: what its builder noted.
        index: the file that holds `content` and `extra`.
    """

    images: Tensor
    content: str
    extra: JsonObject
    index: Path


def open_store(name: str, key: object, chunks: Chunks) -> Store:
    """Opens the store of `key`, which is built first if it is missing or damaged.

    Args:
        name: begins the file's name, for people who look into the cache.
        key: JSON; all that decides the pixels.
        chunks: called with the dict that becomes `extra`; gives arrays (n, C, H, W), uint8, one after the other.

    Raises:
        LabError: if the cache cannot be written, or no image came.
    """
    digest = hashlib.sha256(json.dumps([VERSION, key], sort_keys=True).encode()).hexdigest()[:24]
    file = cache_folder("store") / f"{name}-{digest}.u8"
    store = _read_store(file)
    if store is None:
        with FileLock(f"{file}.lock"):
            store = _read_store(file)  # another process may have built it meanwhile
            if store is None:
                _build_store(file, chunks)
                store = _read_store(file)
    if store is None:
        raise LabError(
            f"the store {file} was built but cannot be read back: check the disk, or set SIAMESE_LAB_CACHE to another"
        )
    return store


def _read_store(file: Path) -> Store | None:
    """The store, or None if it is missing or damaged.

    The index holds a hash of itself, so one that was altered or cut is found out. Pixels are hashed again if their file
    was touched since it was written.
    """
    path = file.with_suffix(".json")
    try:
        if not (path.is_file() and file.is_file()):
            return None
        index = json.loads(path.read_text(encoding="utf-8"))
        sealed, size = index.pop("seal") == _index_hash(index), prod(index["shape"])
        if not sealed or index["version"] != VERSION or file.stat().st_size != size:
            return None
        flat = torch.from_file(str(file), shared=False, size=size, dtype=torch.uint8)
        touched = file.stat().st_mtime_ns != index["written"]
        if touched and hashlib.sha256(flat.numpy().data).hexdigest() != index["pixels"]:
            return None
        return Store(flat.view(index["shape"]), index["content"], index["extra"], path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _index_hash(index: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()


def _build_store(file: Path, chunks: Chunks) -> None:
    """Writes beside the target, then renames; the index comes last, so a store that has one is complete."""
    part = file.with_suffix(".part")
    extra: JsonObject = {}
    pixels, count, shape = hashlib.sha256(), 0, ()
    try:
        part.unlink(missing_ok=True)  # of a killed process; were it a link, its target would be overwritten
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
        index: dict[str, object] = {
            "version": VERSION,
            "shape": [count, *shape],
            "content": hashlib.sha256(f"{count} {shape} {pixels.hexdigest()}".encode()).hexdigest(),
            "pixels": pixels.hexdigest(),
            "written": file.stat().st_mtime_ns,
            "extra": extra,
        }
        with part.open("w", encoding="utf-8") as out_index:
            json.dump(index | {"seal": _index_hash(index)}, out_index)
            out_index.flush()
            os.fsync(out_index.fileno())
        part.replace(file.with_suffix(".json"))
    except OSError as error:  # of the cache alone: an image that cannot be read is a broken image
        raise LabError(
            f"cannot write the store of decoded images in {file.parent} ({error.strerror}): make room, or set "
            "SIAMESE_LAB_CACHE"
        ) from error
    finally:
        with suppress(OSError):  # a folder in its place
            part.unlink(missing_ok=True)
