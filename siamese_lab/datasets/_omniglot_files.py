"""Finds, downloads and checks the files of Omniglot: the publisher's zips, copies of them, or unpacked folders."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable
from siamese_lab.data.archive import Archive
from siamese_lab.data.cache import cache_folder
from siamese_lab.data.download import download
from siamese_lab.data.images import BrokenImageError
from siamese_lab.data.source import Source, data_folder, file_source, joint_stamp

PLACES = (
    "",
    "python",
    "python/one-shot-classification",
    "one-shot-classification",
    "omniglot",
    "omniglot-py",
    "all_runs",
)
CHARACTERS = {"images_background": 964, "images_evaluation": 659}
CONTENT = {  # SHA-256 over lines of name and digest, in order: the same for any zip or folder of the same images
    "images_background": "16fb4bcbd05bbfef11b7fba013d1f163ee622d1ef5f2ee831a4a5fa3be74011a",
    "images_evaluation": "fa54394c729a67838a6ecdd53a0b28ed5af6571338002789cc28ff97bc18a63f",
}
# path under the address, checksum: the publisher names none, the MD5 are torchvision's; CONTENT is checked as well
PUBLISHED = {
    "images_background": ("images_background.zip", "md5:68d2efa1b9178cc56df9314c21c6e718"),
    "images_evaluation": ("images_evaluation.zip", "md5:6b91aef0f799c5bb55b94e3f2daec811"),
    "all_runs": (
        "one-shot-classification/all_runs.zip",
        "sha256:437c1eeab0af8484112e1b4cc0f3d541ec727f7c47b9b202da738af9dfd6c325",
    ),
}
DRAWING = re.compile(r"(?:^|/)(?P<character>[^/]+/character\d\d)/\d{4}_(?P<drawer>\d\d)\.png$")
RUN = re.compile(r"(?:^|/)(?P<name>run\d\d/(?:training/class\d\d\.png|test/item\d\d\.png|class_labels\.txt))$")
SIDE = 105
MOST = 1 << 26  # bytes of a zip: the largest has 9 MB


class Drawing(NamedTuple):
    """Where a drawing belongs, as its name says: `part` is images_background or images_evaluation, `drawer` 1 to 20."""

    part: str
    alphabet: str
    character: str
    drawer: int


def fetch_zips(address: str) -> Path:
    """The folder in the cache with the publisher's three zips, downloaded where missing.

    Args:
        address: of the publisher's `python` folder, http or https.
    """
    folder = cache_folder("downloads", "omniglot")
    for name, (path, checksum) in PUBLISHED.items():
        download(f"{address.rstrip('/')}/{path}", folder / f"{name}.zip", checksum, MOST)
    return folder


def locate_parts(given: str | Path) -> dict[str, Path]:
    """The zip or folder of images_background, of images_evaluation and, where it exists, of all_runs.

    Raises:
        LabError: if one of the first two is missing, or one is neither a file nor a folder.
    """
    root = data_folder(
        given, "a folder with images_background and images_evaluation, as zips or unpacked, or null to download them"
    )
    found: dict[str, Path] = {}
    for name in PUBLISHED:
        candidates = [root / place / end for place in PLACES for end in (f"{name}.zip", name)]
        if name == "all_runs":  # the publisher's zip unpacks to run01 and so on, without a folder round them
            candidates += [root / place for place in PLACES if (root / place / "run01").is_dir()]
        there = next((path for path in candidates if path.exists()), None)
        if there and not (there.is_file() or there.is_dir()):  # a pipe would block
            raise LabError(
                f"{printable(there)} is neither a file nor a folder: put the publisher's zip there, or data.root=null"
            )
        if there:
            found[name] = there
        elif name in CHARACTERS:
            raise LabError(
                f"{printable(root)} holds neither {name}.zip nor a folder {name}: give the folder that does, or "
                "data.root=null to download"
            )
    return found


def content_key(paths: Iterable[Path]) -> str:
    """A key that changes with a zip's bytes, wherever it lies, or with the time or size of a file in a folder.

    Raises:
        LabError: if one cannot be read.
    """
    every: list[str] = []
    for path in paths:
        try:
            if path.is_dir():
                every.append(joint_stamp(list(_list_files(path))))
            else:
                with path.open("rb") as data:
                    every.append(hashlib.file_digest(data, "sha256").hexdigest())
        except OSError as error:
            file = printable(error.filename or path)
            raise LabError(f"cannot read {file} ({error.strerror}): copy it again") from error
    return " ".join(every)


def list_drawings(paths: Mapping[str, Path]) -> list[Source]:
    """Every drawing, named like "images_background/Greek/character01/01": background first, then sorted by name.

    Raises:
        LabError: if they are not 964 and 659 characters of 20 drawings each.
    """
    found: list[Source] = []
    for part, characters in CHARACTERS.items():
        named = [(_match_name(DRAWING, source.name), source) for source in _list_sources(paths[part])]
        some = [Source(f"{part}/{m['character']}/{m['drawer']}", s.stamp, s.read) for m, s in named if m]
        names = {source.name for source in some}
        complete = {f"{name.rpartition('/')[0]}/{drawer:02}" for name in names for drawer in range(1, 21)}
        if len(complete) != 20 * characters or names != complete or len(some) != len(names):
            raise LabError(
                f"{printable(paths[part])} has {len(complete) // 20} characters and {len(some)} drawings, expected "
                f"{characters} of 20 drawings each: copy or unpack it again, or data.root=null to download"
            )
        found += sorted(some, key=lambda source: source.name)
    return found


def parse_name(name: str) -> Drawing:
    """The fields of a name from `list_drawings`, e.g. "images_background/Greek/character01/01"."""
    part, alphabet, character, drawer = name.split("/")
    return Drawing(part, alphabet, character, int(drawer))


def list_run_files(path: Path) -> dict[str, Source]:
    """Files of the one-shot runs, by "run01/test/item01.png", "run01/class_labels.txt" and the like."""
    matched = ((_match_name(RUN, source.name), source) for source in _list_sources(path))
    return {match["name"]: source for match, source in matched if match}


def hash_drawing(image: Image.Image) -> str:
    """Hash of the 105 x 105 bits of a drawing, whatever file it came in.

    Raises:
        BrokenImageError: for another size.
    """
    if image.size != (SIDE, SIDE):
        raise BrokenImageError(f"{image.width} x {image.height} pixels, Omniglot's have {SIDE} x {SIDE}")
    return hashlib.sha256(image.convert("1", dither=Image.Dither.NONE).tobytes()).hexdigest()[:24]


def check_content(names: Sequence[str], digests: Sequence[str], root: str | Path) -> None:
    """Compares the decoded content with the publisher's.

    Raises:
        LabError: if an image differs from the publisher's.
    """
    for part, expected in CONTENT.items():
        lines = [f"{name} {bits}" for name, bits in zip(names, digests, strict=True) if name.startswith(part)]
        came = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        if came != expected:
            raise LabError(
                f"the images of {part} in {printable(root)} are not Omniglot's ({came[:12]}, expected "
                f"{expected[:12]}): copy it again"
            )


def _match_name(pattern: re.Pattern[str], name: str) -> re.Match[str] | None:
    return None if name.startswith((".", "__MACOSX")) or "/." in name else pattern.search(name)


def _list_sources(path: Path) -> Iterable[Source]:
    if path.is_dir():
        return _list_files(path)
    archive = Archive(path)
    return [archive.source(member) for member in archive.names]


def _list_files(folder: Path) -> Iterator[Source]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield file_source(path, path.relative_to(folder).as_posix())
