import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from siamese_lab.core.checks import require_at_least, require_choice
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import nearest, printable
from siamese_lab.data.decode import decode_images
from siamese_lab.data.images import Fit
from siamese_lab.data.source import data_folder, joint_stamp
from siamese_lab.datasets._fingerprint import fingerprint
from siamese_lab.datasets._image_tree import find_images
from siamese_lab.datasets._split import check_shares, refuse_overlap, split_by
from siamese_lab.structures.samples import PARTS, Samples

FIXED = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}  # folders that are parts


class Folder:
    """A user's own images: `root/<identity>/*.png` or `root/<group>/<identity>/*.png`, without hidden files.

    PNG, JPEG, PGM / PPM, BMP, WebP and TIFF, of any sizes. Where `root` holds `train` and `val` or `test`, these are
    the parts (and `val_share` of the training identities validate if there is no `val`); otherwise identities are drawn
    by `split_seed`. An identity's name begins with its group's: `Greek/alpha`. Nothing is written into `root`. A
    warning counts files with other suffixes; links are followed, but no folder may occur twice.

    Args:
        root: the folder.
        size: of the images in pixels, a side or (height, width), each 1 to 8192; None takes them as they are, all of
            one size.
        channels: 1 (grey) or 3 (RGB), in [1, 3].
        fit: "pad", "crop" or "squash".
        invert: 255 - v, for dark ink on a white ground.
        background: 0 to 255, grey of the borders and behind transparent pixels.
        val_share, test_share: of the identities (of each one's images, if disjoint is "image"), 0 to 1; 0 makes no such
            part.
        split_seed: of that draw; any whole number; not the seed of training.
        disjoint: "label" (an identity stands in one part only) or "image" (identities are shared, images are not).
        min_images: identities with fewer are left out, with a warning; one image forms no positive pair.
        broken: "refuse" images that cannot be decoded, or "skip" and list them.

    Raises:
        ValueError: for values out of these ranges.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from siamese_lab.datasets.folder import Folder
        >>> root = Path(tempfile.mkdtemp())
        >>> for number in range(16):  # 8 identities, 2 images each
        ...     (root / f"person{number // 2}").mkdir(exist_ok=True)
        ...     Image.new("L", (30, 20), 16 * number).save(root / f"person{number // 2}" / f"{number}.png")
        >>> samples = Folder(root=str(root), size=16, channels=1).load()
        >>> tuple(samples.images.shape), [len(samples.ids(part)) for part in ("train", "val", "test")]
        ((16, 1, 16, 16), [8, 4, 4])
    """

    def __init__(
        self,
        root: str,
        size: int | Sequence[int] | None = 64,
        channels: int = 3,
        fit: str = "pad",
        invert: bool = False,
        background: int = 255,
        val_share: float = 0.15,
        test_share: float = 0.25,
        split_seed: int = 0,
        disjoint: str = "label",
        min_images: int = 2,
        broken: str = "refuse",
    ) -> None:
        require_choice("disjoint", disjoint, ("label", "image"))
        require_at_least("min_images", min_images, 1, "it is the number of images of an identity")
        require_choice("broken", broken, ("refuse", "skip"))
        check_shares(val_share=val_share, test_share=test_share)
        if not root:
            raise ValueError("root must name a folder of images, got an empty text")
        sides = size if size is None or isinstance(size, int) else tuple(size)
        self.fit = Fit(sides, channels, fit, invert, background)
        self.root, self.shares, self.split_seed = root, (val_share, test_share), split_seed
        self.disjoint, self.min_images, self.broken = disjoint, min_images, broken

    def load(self) -> Samples:
        """Decodes (the first time) and splits.

        Raises:
            LabError: if the folder does not exist or has fewer than two identities, an image is broken and refused,
                sizes differ where none is given, a link is broken or circular, or an identity stands in two parts.
        """
        root = data_folder(self.root, "the folder that holds one folder of images per identity")
        sources = find_images(root)
        store = decode_images("folder", lambda: sources, joint_stamp(sources), self.fit, self.broken, printable(root))
        files: list[str] = store.extra["names"]
        fixed = self._has_part_folders(files)
        homes = [name.rpartition("/")[0].partition("/")[2] if fixed else name.rpartition("/")[0] for name in files]
        rows = self._rows_of_large_identities(homes, root)
        files, homes = [files[row] for row in rows], [homes[row] for row in rows]
        classes = tuple(sorted(set(homes)))
        both = sorted(set(classes) & {home.rpartition("/")[0] for home in classes})
        if both:
            raise LabError(
                f"{printable(root / both[0])} holds images and folders of images: an identity or a group? Move some"
            )
        if len(classes) < 2:
            raise LabError(
                f"{printable(root)} holds images of {len(classes)} identit{'y' if len(classes) == 1 else 'ies'}: at "
                "least 2 are needed, each in a folder of its own (root/<identity>/*.png)"
            )
        _warn_of_alike_names(classes)
        code = {name: index for index, name in enumerate(classes)}
        labels = torch.tensor([code[home] for home in homes])
        split = self._split(files, homes, fixed, root)
        if self.disjoint == "label":
            refuse_overlap(labels, split, classes)
        above = [home.rpartition("/")[0] for home in homes]
        groups = sorted(set(above))
        group_codes = torch.tensor([groups.index(name) for name in above])
        row = torch.tensor(rows)
        return Samples(
            images=store.images,
            row=row,
            turn=torch.zeros(len(row), dtype=torch.int64),
            labels=labels,
            classes=classes,
            groups={"folder": (group_codes, tuple(groups))} if len(groups) > 1 else {},
            split=split,
            disjoint=self.disjoint,
            fingerprint=fingerprint(store.content, classes, row, labels, split),
            files=tuple(str(name) for name in store.extra["names"]),
        )

    def _has_part_folders(self, files: Sequence[str]) -> bool:
        """Whether the folders at the top are the parts."""
        top = {name.partition("/")[0] for name in files}
        deep = all(name.count("/") >= 2 for name in files)
        misspelt = {name: hint for name in sorted(top - FIXED.keys()) if (hint := nearest(name.lower(), FIXED))}
        if deep and misspelt and top & FIXED.keys():
            name, hint = next(iter(misspelt.items()))
            raise LabError(
                f"data.root holds folders named as parts ({', '.join(sorted(top & FIXED.keys()))}) and one named "
                f"{printable(name)}{hint}"
            )
        return "train" in top and len(top) > 1 and top <= FIXED.keys() and deep

    def _rows_of_large_identities(self, homes: Sequence[str], root: Path) -> list[int]:
        """Rows of the identities with at least `min_images` images; a warning names the others."""
        counts: dict[str, int] = {}
        for home in homes:
            counts[home] = counts.get(home, 0) + 1
        few = [home for home, count in counts.items() if count < self.min_images]
        if few:
            shown = ", ".join(map(printable, few[:5])) + (f" and {len(few) - 5} more" if len(few) > 5 else "")
            message = (
                f"{len(few)} of {len(counts)} identities in {printable(root)} have fewer than {self.min_images} "
                f"images: {shown}"
            )
            if len(counts) - len(few) < 2:
                raise LabError(f"{message}; they form no positive pair, and fewer than 2 others are left: add images")
            warnings.warn(f"{message}; they are left out (data.min_images)", stacklevel=3)
        left_out = set(few)
        return [row for row, home in enumerate(homes) if home not in left_out]

    def _split(self, files: Sequence[str], homes: Sequence[str], fixed: bool, root: Path) -> Tensor:
        val, test = self.shares
        try:
            if not fixed:
                return self._draw_split(files, homes, val, test)
            names = [FIXED[name.partition("/")[0]] for name in files]
            split = torch.tensor([PARTS[name] for name in names])
            if val and "val" not in names:
                rows = [row for row, name in enumerate(names) if name == "train"]
                split[rows] = self._draw_split([files[row] for row in rows], [homes[row] for row in rows], val, 0.0)
            return split
        except ValueError as error:
            raise LabError(f"cannot split the identities of {printable(root)}: {error}") from error

    def _draw_split(self, files: Sequence[str], homes: Sequence[str], val: float, test: float) -> Tensor:
        if self.disjoint == "label":
            return split_by(homes, val, test, self.split_seed)
        split = torch.zeros(len(files), dtype=torch.int64)
        rows: dict[str, list[int]] = {}
        for row, home in enumerate(homes):
            rows.setdefault(home, []).append(row)
        for home, own in rows.items():
            try:
                split[own] = split_by([files[row] for row in own], val, test, self.split_seed)
            except ValueError as error:
                raise ValueError(f"images of {printable(home)}: {error}") from error
        return split


def _warn_of_alike_names(classes: Sequence[str]) -> None:
    """Warns of two names that differ only in case or Unicode normalisation: they are likely one identity."""
    met: dict[str, str] = {}
    for name in classes:
        other = met.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            warnings.warn(
                f"{other!a} and {name!a} differ only in capitals or in how accents are encoded: they count as two "
                "identities; if they are one, put their images in one folder",
                stacklevel=3,
            )
            return
