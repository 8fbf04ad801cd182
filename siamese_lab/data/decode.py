"""Image files decoded once into a store."""

import itertools
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from math import prod

import numpy as np
from PIL import Image

from siamese_lab.core.errors import LabError
from siamese_lab.core.mappings import JsonObject
from siamese_lab.core.processes import available_cores
from siamese_lab.core.text import printable
from siamese_lab.data.cache import progress
from siamese_lab.data.images import VERSION as DECODER
from siamese_lab.data.images import BrokenImageError, Fit, handle_pillow_warnings
from siamese_lab.data.source import Source
from siamese_lab.data.store import Images, Store, open_store

CHUNK_BYTES = 1 << 25  # decoded pixels held in memory while building
WARM_UP = 8  # images decoded to see how long one takes
TINY_SECONDS = 0.001  # threads slow down images that decode in less, which is mostly Python (measured: 1.7 x slower)
LISTED = 5  # broken images named in a message

Note = Callable[[Image.Image], str]
Accept = Callable[[Sequence[str], Sequence[str]], None]


def decode_images(
    name: str,
    sources: Callable[[], Sequence[Source]],
    key: str,
    fit: Fit,
    broken: str,
    where: str,
    note: Note | None = None,
    accept: Accept | None = None,
) -> Store:
    """The store of these sources.

    Its `extra` has `names` (of the images in the store), `broken` {name: reason} and `notes`.

    Args:
        name: begins the file's name.
        sources: gives them in the order of the store's images; called only when the store must be built.
        key: changes whenever the sources do, see `source.joint_stamp`.
        fit: how each becomes an array.
        broken: "refuse" (LabError naming them) or "skip" (left out, listed, one warning).
        where: the folder or file that the names lie in, for messages.
        note: gives a string for each image as it was before fitting, kept in `extra["notes"]`; None for none.
        accept: called with all names and notes before the store is put into place; raises to refuse them.

    Raises:
        LabError: for broken images where they are refused, or if nothing is left.
        ValueError: if `broken` is neither word.
    """
    if broken not in ("refuse", "skip"):
        raise ValueError(f"broken must be refuse or skip, got {broken!r}")
    whole_key = [key, asdict(fit), DECODER, broken, note is not None]
    store = open_store(name, whole_key, lambda extra: _decode(sources(), fit, broken, where, note, accept, extra))
    if store.extra["broken"]:
        rest = f" (all of them are listed in {store.index})" if len(store.extra["broken"]) > LISTED else ""
        warnings.warn(f"skipped {_describe_broken(store.extra['broken'], where)}{rest}", stacklevel=2)
    return store


def _decode(
    sources: Sequence[Source],
    fit: Fit,
    broken: str,
    where: str,
    note: Note | None,
    accept: Accept | None,
    extra: JsonObject,
) -> Iterator[Images]:
    """Chunks of decoded images; fills `extra`."""
    if not sources:
        raise LabError(f"{where} holds none of the images that it should: copy it again")
    extra |= {"names": [], "broken": {}, "notes": []}
    # of every image; unknown before the first one where no size is given
    shape: tuple[int, ...] = (fit.channels, *fit.size) if isinstance(fit.size, tuple) else ()

    def decode_one(source: Source) -> tuple[Images, str] | str:
        try:
            image = fit.decode(source.read())
            return fit.to_array(image), note(image) if note else ""
        except BrokenImageError as error:
            return str(error)
        except OSError as error:
            return error.strerror or str(error)

    threads = min(16, available_cores())
    with ThreadPoolExecutor(threads) as pool, progress("decoding", len(sources)) as advance, handle_pillow_warnings():
        started = time.perf_counter()
        done = [decode_one(source) for source in sources[:WARM_UP]]
        tiny = time.perf_counter() - started < WARM_UP * TINY_SECONDS
        at = 0
        while at < len(sources):
            chunk = sources[at : at + _chunk_length(shape)]
            rest = chunk[len(done) :]
            results = itertools.chain(done, map(decode_one, rest) if tiny else pool.map(decode_one, rest))
            done, good = [], []
            for source, result in zip(chunk, results, strict=True):
                if isinstance(result, str):
                    extra["broken"][source.name] = result
                    continue
                array, text = result
                shape = shape or array.shape
                if array.shape != shape:
                    raise LabError(
                        f"images of unlike sizes in {where}: {printable(source.name)} is {_sides(array.shape)}, others "
                        f"{_sides(shape)}; give a size that all are fitted to, e.g. data.size=64"
                    )
                good.append(array)
                extra["names"].append(source.name)
                if note:
                    extra["notes"].append(text)
            advance(len(chunk))
            at += len(chunk)
            if good and not (extra["broken"] and broken == "refuse"):
                yield np.stack(good)
    if extra["broken"] and (broken == "refuse" or not extra["names"]):
        skip = ", or leave them out with data.broken=skip" if broken == "refuse" else ""
        raise LabError(f"refused {_describe_broken(extra['broken'], where)}; mend or remove them{skip}")
    if accept:
        accept(extra["names"], extra["notes"])


def _chunk_length(shape: tuple[int, ...]) -> int:
    """Images decoded at once; few until their size is known."""
    return max(WARM_UP, min(4096, CHUNK_BYTES // prod(shape))) if shape else WARM_UP


def _sides(shape: tuple[int, ...]) -> str:
    return f"{shape[2]} x {shape[1]}"


def _describe_broken(broken: dict[str, str], where: str) -> str:
    shown = "; ".join(f"{printable(name)}: {printable(reason)}" for name, reason in list(broken.items())[:LISTED])
    more = f"; and {len(broken) - LISTED} more" if len(broken) > LISTED else ""
    return f"{len(broken)} broken image{'s' * (len(broken) > 1)} in {where}: {shown}{more}"
