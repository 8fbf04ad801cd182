"""Which files of a user's tree are images, and what else lies there."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable
from siamese_lab.data.images import SUFFIXES
from siamese_lab.data.source import Source, file_source


def find_images(root: Path) -> list[Source]:
    """Every image below a folder, in the order of their names; a warning counts the files with other suffixes.

    Raises:
        LabError: if there is none, one lies in `root` itself or too deep, a folder cannot be read, a link leads to
            nothing or to a folder that has a place already, or a name is no UTF-8.
    """
    passed: list[Path] = []
    try:
        paths = list(_walk_images(root, root, passed, {}))
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
            "images in a folder "
            "of its own"
        )
    example = printable(passed[0].relative_to(root)) if passed else ""
    if not paths:
        others = (
            f"; its {len(passed)} files, e.g. {example}, are of other kinds: convert them to PNG or JPEG"
            if passed
            else ""
        )
        raise LabError(
            f"{printable(root)} holds no images ({kinds}): one folder of them per identity is needed{others}"
        )
    if passed:
        files = "1 file" if len(passed) == 1 else f"{len(passed):,} files"
        warnings.warn(
            f"passed over {files} in {printable(root)} with the suffix of no image ({kinds}), e.g. {example}",
            stacklevel=3,
        )
    return sources


def _walk_images(folder: Path, root: Path, passed: list[Path], seen: dict[tuple[int, int], Path]) -> Iterator[Path]:
    """Image files below a folder, three levels deep at most, in the order of their names.

    Args:
        folder: where to look.
        root: of the tree.
        passed: gets the files that are no images by their names.
        seen: the folders that were met, by device and number: a link that leads in a circle, or to an identity that has
            a name already, would count the same images twice.
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
            passed.append(path)
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
            yield from _walk_images(path, root, passed, seen)


def _is_utf8(name: str) -> bool:
    """False for bytes of another encoding, which neither a report nor TensorBoard could show."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
