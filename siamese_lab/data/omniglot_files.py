"""Finds, fetches and checks the files of Omniglot: the publisher's zips, copies of them, or unpacked folders."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from siamese_lab.data.archive import Archive
from siamese_lab.data.cache import cache_folder
from siamese_lab.data.download import download
from siamese_lab.data.images import BrokenImage
from siamese_lab.data.source import Source, file_source
from siamese_lab.errors import LabError

PLACES = ("", "python", "python/one-shot-classification", "one-shot-classification", "omniglot", "omniglot-py", "all_runs")
CHARACTERS = {"images_background": 964, "images_evaluation": 659}
CONTENT = {  # SHA-256 over "alphabet/character/drawer digest" lines, sorted: the same for any zip or folder of the same images
    "images_background": "@B",
    "images_evaluation": "@E",
}
PUBLISHED = {  # path under the address, checksum. The publisher names none; MD5 as torchvision has them, content is checked as well
    "images_background": ("images_background.zip", "md5:68d2efa1b9178cc56df9314c21c6e718"),
    "images_evaluation": ("images_evaluation.zip", "md5:6b91aef0f799c5bb55b94e3f2daec811"),
    "all_runs": (
        "one-shot-classification/all_runs.zip",
        "sha256:437c1eeab0af8484112e1b4cc0f3d541ec727f7c47b9b202da738af9dfd6c325",
    ),
}
DRAWING = re.compile(r"(?:^|/)(?P<alphabet>[^/]+)/(?P<character>character\d\d)/\d{4}_(?P<drawer>\d\d)\.png$")
RUN = re.compile(r"(?:^|/)(?P<name>run\d\d/(?:training/class\d\d\.png|test/item\d\d\.png|class_labels\.txt))$")
SIDE = 105


@dataclass(frozen=True)
class Drawing:
    """One image of the data set: what its name says, and where its bytes are."""

    part: str
    alphabet: str
    character: str
    drawer: int
    source: Source


def fetch(address: str) -> Path:
    """Folder in the cache with the publisher's three zips, downloaded where they are not there yet.

    Args:
        address: of the publisher's `python` folder, http or https.
    """
    folder = cache_folder("downloads", "omniglot")
    for name, (path, checksum) in PUBLISHED.items():
        download(f"{address.rstrip('/')}/{path}", folder / f"{name}.zip", checksum)
    return folder


def drawings(root: Path) -> list[Drawing]:
    """Every drawing under root: background before evaluation, then by alphabet, character and drawer.

    Raises:
        LabError: if root is not there, lacks a set, or does not hold 964 and 659 characters of 20 drawers.
    """
    if not root.is_dir():
        raise LabError(f"there is no folder {root}: data.root must hold images_background and images_evaluation, as zips or unpacked")
    found: list[Drawing] = []
    for part, characters in CHARACTERS.items():
        sources = _within(root, part)
        if sources is None:
            raise LabError(f"{root} holds neither {part}.zip nor a folder {part}: give the folder that does, or data.root=null to download")
        some = [_drawing(part, match, source) for source in sources if (match := _match(DRAWING, source.name))]
        names = {(d.alphabet, d.character, d.drawer) for d in some}
        complete = {(d.alphabet, d.character, drawer) for d in some for drawer in range(1, 21)}
        if len(complete) != 20 * characters or names != complete or len(some) != len(names):
            raise LabError(
                f"{part} in {root} has {len(complete) // 20} characters and {len(some)} drawings, expected {characters} of 20 drawings each: "
                "copy or unpack it again, or data.root=null to download"
            )
        found += sorted(some, key=lambda d: (d.alphabet, d.character, d.drawer))
    return found


def runs(root: Path) -> dict[str, Source]:
    """Files of the 20 one-shot runs, by "run01/test/item01.png" and the like; nothing where they are not there."""
    sources = _within(root, "all_runs")
    if sources is None:
        return {}
    return {match["name"]: source for source in sources if (match := _match(RUN, source.name))}


def digest(image: Image.Image) -> str:
    """Hash of the 105 x 105 bits of a drawing, whatever file it came in.

    Raises:
        BrokenImage: for another size.
    """
    if image.size != (SIDE, SIDE):
        raise BrokenImage(f"{image.width} x {image.height} pixels, Omniglot's have {SIDE} x {SIDE}")
    return hashlib.sha256(image.convert("1", dither=Image.Dither.NONE).tobytes()).hexdigest()[:24]


def check(found: list[Drawing], digests: list[str], root: Path) -> None:
    """Compares the decoded content with the publisher's.

    Raises:
        LabError: if an image is another than it should be.
    """
    for part, expected in CONTENT.items():
        lines = [
            f"{d.alphabet}/{d.character}/{d.drawer:02} {digest_}" for d, digest_ in zip(found, digests, strict=True) if d.part == part
        ]
        came = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
        if came != expected:
            raise LabError(f"the images of {part} in {root} are not Omniglot's ({came[:12]}, expected {expected[:12]}): copy it again")


def _drawing(part: str, match: re.Match[str], source: Source) -> Drawing:
    return Drawing(part, match["alphabet"], match["character"], int(match["drawer"]), source)


def _match(pattern: re.Pattern[str], name: str) -> re.Match[str] | None:
    return None if any(step.startswith((".", "__MACOSX")) for step in name.split("/")) else pattern.search(name)


def _within(root: Path, name: str) -> list[Source] | None:
    """Sources of the first zip or folder of that name, None where there is none."""
    for place in PLACES:
        if (zipped := root / place / f"{name}.zip").is_file():
            archive = Archive(zipped)
            return [archive.source(member) for member in archive.names]
        if (folder := root / place / name).is_dir():
            return list(_files(folder))
    return None


def _files(folder: Path) -> Iterator[Source]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield file_source(path, path.relative_to(folder).as_posix())
