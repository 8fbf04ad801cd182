"""Finds the images in a user's folder tree."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable
from siamese_lab.data.images import SUFFIXES
from siamese_lab.data.source import Source, file_source


def find_images(root: Path) -> list[Source]:
    """Every image below a folder, sorted by name; a warning counts the files with other suffixes.

    Raises:
        LabError: if there is none, one lies in `root` itself or too deep, a folder cannot be read, a link is broken or
            leads to a folder that was met already, or a name is not UTF-8.
    """
    ignored: list[Path] = []
    try:
        paths = list(_walk_images(root, root, ignored, {}))
        sources = [file_source(path, path.relative_to(root).as_posix()) for path in paths]
    except OSError as error:
        raise LabError(
            f"cannot read {printable(error.filename)} ({error.strerror}): make it readable, or move it away"
        ) from error
    loose = [path.name for path in paths if path.parent == root]
    kinds = ", ".join(sorted(SUFFIXES))
    if loose:
        raise LabError(
            f"{len(loose)} images lie in {printable(root)} itself, e.g. {printable(loose[0])}: put each identity's "
            "images in a folder of its own"
        )
    example = printable(ignored[0].relative_to(root)) if ignored else ""
    if not paths:
        hint = f"; its {len(ignored)} files, e.g. {example}, are of other kinds: convert them to PNG or JPEG"
        raise LabError(
            f"{printable(root)} holds no images ({kinds}): one folder of them per identity is needed"
            + (hint if ignored else "")
        )
    if ignored:
        files = "1 file" if len(ignored) == 1 else f"{len(ignored):,} files"
        warnings.warn(
            f"passed over {files} in {printable(root)} with the suffix of no image ({kinds}), e.g. {example}",
            stacklevel=3,
        )
    return sources


def _walk_images(folder: Path, root: Path, ignored: list[Path], seen: dict[tuple[int, int], Path]) -> Iterator[Path]:
    """Image files below a folder, at most three levels below `root`, sorted by name.

    `ignored` collects the files without the suffix of an image. `seen` holds the folders met by device and inode: a
    link back to one would count the same images twice.
    """
    about = folder.stat()
    before = seen.setdefault((about.st_dev, about.st_ino), folder)
    if before != folder:
        raise LabError(f"{printable(folder)} and {printable(before)} are the same folder: remove one of the links")
    entries = sorted((e for e in os.scandir(folder) if not e.name.startswith((".", "__MACOSX"))), key=lambda e: e.name)
    for entry in entries:
        path = Path(entry.path)
        link, image = entry.is_symlink(), path.suffix.lower() in SUFFIXES
        if link and not image and not path.exists():
            raise LabError(f"{printable(path)} is a link to nothing: mend or remove it")
        inner = path.is_dir() if link else entry.is_dir()
        if not (inner or image):
            ignored.append(path)
            continue
        if not _is_utf8(entry.name):
            raise LabError(f"the name of {printable(path)} is no UTF-8: rename it")
        if not inner:
            yield path
        elif len(path.relative_to(root).parts) > 3:
            raise LabError(
                f"{printable(path)} lies too deep: root/<identity>, root/<group>/<identity> or "
                "root/train/<group>/<identity>; move it up"
            )
        else:
            yield from _walk_images(path, root, ignored, seen)


def _is_utf8(name: str) -> bool:
    """Whether a report and TensorBoard can show the name."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
