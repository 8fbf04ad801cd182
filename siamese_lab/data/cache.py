"""The folder of decoded images and downloads, and the progress bar shown while they are made."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from siamese_lab.core.errors import LabError


def cache_folder(*parts: str) -> Path:
    """The cache folder (or one within), created if missing: `SIAMESE_LAB_CACHE`, else the user's cache folder.

    Raises:
        LabError: if it cannot be created or written.
    """
    folder = _root().joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError as error:
        raise LabError(
            f"cannot make the cache folder {folder} ({error.strerror}): set SIAMESE_LAB_CACHE to one you can write"
        ) from error
    if not writable:
        raise LabError(f"cannot write the cache folder {folder}: set SIAMESE_LAB_CACHE to one you can write")
    return folder


def _root() -> Path:
    asked = os.environ.get("SIAMESE_LAB_CACHE")
    if asked:
        return Path(asked).expanduser().absolute()
    return platformdirs.user_cache_path("siamese_lab", appauthor=False)


@contextmanager
def progress(what: str, total: float | None, bytes_: bool = False) -> Iterator[Callable[[float], None]]:
    """Shows a progress bar on stderr if that is a terminal, and yields `advance(amount)`.

    Args:
        what: shown before the bar.
        total: of the amounts, None where unknown.
        bytes_: the amounts are bytes.
    """
    if not sys.stderr.isatty():
        yield lambda amount: None
        return
    # here: rich takes long to import
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    amount_column: ProgressColumn = DownloadColumn() if bytes_ else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount_column, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda amount: shown.update(task, advance=amount)
