from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from siamese_lab.core.checks import require_choice, require_within
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable
from siamese_lab.data.decode import decode_images
from siamese_lab.data.download import require_web_address
from siamese_lab.data.images import Fit
from siamese_lab.datasets import _omniglot_files as omniglot_files
from siamese_lab.datasets._fingerprint import fingerprint
from siamese_lab.datasets._split import shuffle_names
from siamese_lab.structures.samples import TEST, TRAIN, UNUSED, VAL, Episodes, Samples

ADDRESS = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
OFFICIAL = (  # the alphabets of the official one-shot runs, two runs each
    "Atlantean",
    "Ge_ez",
    "Glagolitic",
    "Gurmukhi",
    "Kannada",
    "Malayalam",
    "Manipuri",
    "Old_Church_Slavonic_(Cyrillic)",
    "Tengwar",
    "Tibetan",
)


class Omniglot:
    """Omniglot: 1,623 characters of 50 alphabets, each drawn by 20 people; ink = 255 on 0. Parts share no character.

    Samples of no part (split UNUSED) keep their ids: the official runs need them. The splits:

    - lake: of the 30 background alphabets `validation_alphabets` validate and the others train; the 20 evaluation
      alphabets test.
    - koch (Koch et al. 2015; which alphabets and drawers is our reading, they are not published): the 30 background
      alphabets, drawers 1-12, train; the 10 evaluation alphabets outside the official runs, drawers 13-16, validate;
      the 10 of the runs, drawers 17-20, test. It tunes on evaluation alphabets, which Lake forbids.
    - vinyals (Vinyals et al. 2016, whose draw is not published): 1,200 characters of all alphabets train, less
      `validation_characters` of them that validate (172, hence 1,028, as in the files of Snell et al. 2017); the other
      423 test.

    Source: Lake, Salakhutdinov, Tenenbaum, Science 2015.

    Args:
        root: folder with the zips or what they unpack to; None downloads the publisher's (15 MB).
        split: "lake", "koch" or "vinyals".
        size: of the images in pixels, a side or (height, width), each 1 to 8192; drawn at 105.
        fit: "pad", "crop" or "squash", where `size` is not square.
        quarter_turns: "none"; "train": training characters turned by 90, 180, 270 degrees (counter-clockwise) count as
            characters of their own, `Greek/character01@90` of the alphabet `Greek@90`; "all": validation and test
            characters too.
        validation_alphabets: how many of the 30 (0 to 28), or their names; split lake only.
        validation_characters: 0 to 1,198; split vinyals only.
        split_seed: which alphabets or characters validate and test; any whole number; not the seed of training.
        address: where the publisher's `python` folder is downloaded from.

    Raises:
        ValueError: for values out of these ranges.

    Examples:
        >>> from siamese_lab.datasets.omniglot import Omniglot
        >>> omniglot = Omniglot(split="vinyals", size=28)  # omniglot.load() downloads 15 MB on its first call
        >>> omniglot.fit.size, omniglot.validation_characters
        ((28, 28), 172)
    """

    def __init__(
        self,
        root: str | None = None,
        split: str = "lake",
        size: int | Sequence[int] = 28,
        fit: str = "squash",
        quarter_turns: str = "none",
        validation_alphabets: int | Sequence[str] = 5,
        validation_characters: int = 172,
        split_seed: int = 0,
        address: str = ADDRESS,
    ) -> None:
        require_choice("split", split, ("lake", "koch", "vinyals"))
        require_choice("quarter_turns", quarter_turns, ("none", "train", "all"))
        if isinstance(validation_alphabets, int):
            require_within("validation_alphabets", validation_alphabets, "[0, 28]", "of the 30; or give their names")
        require_within("validation_characters", validation_characters, "[0, 1198]", "of the 1,200")
        if root is None:
            require_web_address(address)
        self.root, self.split, self.quarter_turns, self.address = root, split, quarter_turns, address
        self.fit = Fit(size if isinstance(size, int) else tuple(size), fit=fit, invert=True)
        self.validation_alphabets, self.validation_characters = validation_alphabets, validation_characters
        self.split_seed = split_seed

    def load(self) -> Samples:
        """Decodes (the first time) and splits.

        Raises:
            LabError: if the files are not there, cannot be downloaded, or are not Omniglot's.
        """
        root = omniglot_files.fetch_zips(self.address) if self.root is None else self.root
        paths = omniglot_files.locate_parts(root)
        sets = {part: paths[part] for part in omniglot_files.CHARACTERS}
        store = decode_images(
            "omniglot",
            lambda: omniglot_files.list_drawings(sets),
            omniglot_files.content_key(sets.values()),
            self.fit,
            "refuse",
            printable(root),
            omniglot_files.hash_drawing,
            lambda names, digests: omniglot_files.check_content(names, digests, root),
        )
        names, digests = store.extra["names"], store.extra["notes"]
        found = [omniglot_files.parse_name(name) for name in names]

        labels, characters = _encode_names([f"{d.alphabet}/{d.character}" for d in found])
        alphabet, alphabets = _encode_names([d.alphabet for d in found])
        drawer = torch.tensor([d.drawer - 1 for d in found])
        part = self._assign_parts(found)
        row, turn = torch.arange(len(found)), torch.zeros(len(found), dtype=torch.int64)
        if self.quarter_turns != "none":
            turned = (part == TRAIN if self.quarter_turns == "train" else part != UNUSED).nonzero().flatten()
            turn = torch.cat([turn, torch.arange(1, 4).repeat_interleave(len(turned))])
            row = torch.cat([row, turned.repeat(3)])
            labels, characters = _encode_turned(labels[row], turn, characters)
            alphabet, alphabets = _encode_turned(alphabet[row], turn, alphabets)
            drawer, part = drawer[row], part[row]
        row_of = {bits: row for row, bits in enumerate(digests) if found[row].alphabet in OFFICIAL}
        trials = {"official": _official_runs(paths["all_runs"], row_of)} if "all_runs" in paths else {}
        columns = [row, turn, labels, part, *(t for e in trials.values() for t in (e.support, e.query, e.truth))]
        return Samples(
            images=store.images,
            row=row,
            turn=turn,
            labels=labels,
            classes=characters,
            groups={"alphabet": (alphabet, alphabets), "drawer": (drawer, tuple(f"{d:02}" for d in range(1, 21)))},
            split=part,
            disjoint="label",
            fingerprint=fingerprint(store.content, characters, *columns),
            trials=trials,
            files=tuple(names),
        )

    def _assign_parts(self, found: list[omniglot_files.Drawing]) -> Tensor:
        if self.split == "vinyals":
            order = shuffle_names([f"{d.alphabet}/{d.character}" for d in found], self.split_seed)
            part_of = dict.fromkeys(order[:1200], TRAIN) | dict.fromkeys(order[1200:], TEST)
            part_of |= dict.fromkeys(order[1200 - self.validation_characters : 1200], VAL)
            parts = [part_of[f"{d.alphabet}/{d.character}"] for d in found]
        elif self.split == "koch":
            parts = [_koch_part(d) for d in found]
        else:
            validation = self._validation_alphabets({d.alphabet for d in found if d.part == "images_background"})
            parts = [_lake_part(d, validation) for d in found]
        return torch.tensor(parts)

    def _validation_alphabets(self, alphabets: set[str]) -> set[str]:
        if isinstance(self.validation_alphabets, int):
            return set(shuffle_names(list(alphabets), self.split_seed)[: self.validation_alphabets])
        unknown = sorted(set(self.validation_alphabets) - alphabets)
        if unknown:
            raise LabError(
                f"validation_alphabets names {', '.join(unknown)}; the background alphabets are "
                f"{', '.join(sorted(alphabets))}"
            )
        return set(self.validation_alphabets)


def _lake_part(d: omniglot_files.Drawing, validation: set[str]) -> int:
    if d.part != "images_background":
        return TEST
    return VAL if d.alphabet in validation else TRAIN


def _koch_part(d: omniglot_files.Drawing) -> int:
    if d.part == "images_background":
        return TRAIN if d.drawer <= 12 else UNUSED
    if d.alphabet in OFFICIAL:
        return TEST if d.drawer >= 17 else UNUSED
    return VAL if 13 <= d.drawer <= 16 else UNUSED


def _encode_names(names: list[str]) -> tuple[Tensor, tuple[str, ...]]:
    """Names -> codes (N,) and the distinct names in the order in which they come."""
    distinct = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([distinct[name] for name in names]), tuple(distinct)


def _encode_turned(codes: Tensor, turn: Tensor, names: tuple[str, ...]) -> tuple[Tensor, tuple[str, ...]]:
    """Codes and names where each turn of a name is a name of its own, `NAME@90`; what is not turned keeps its code."""
    keys, new = torch.unique(codes + turn * len(names), return_inverse=True)
    turns = [divmod(key, len(names)) for key in keys.tolist()]
    return new, tuple(names[code] + (f"@{90 * quarter}" if quarter else "") for quarter, code in turns)


def _official_runs(path: Path, row_of: dict[str, int]) -> Episodes:
    """The 20 runs, each image found among the drawings by its bits."""
    images = decode_images(
        "omniglot-runs",
        lambda: [
            source for name, source in sorted(omniglot_files.list_run_files(path).items()) if name.endswith(".png")
        ],
        omniglot_files.content_key([path]),
        Fit(omniglot_files.SIDE),
        "refuse",
        printable(path),
        omniglot_files.hash_drawing,
    )
    hashes = zip(images.extra["names"], images.extra["notes"], strict=True)
    rows = {name[name.rindex("run") :]: row_of.get(bits, -1) for name, bits in hashes}
    support, query, truth, names = [], [], [], []
    try:
        files = omniglot_files.list_run_files(path)
        labels = {name: source.read().decode() for name, source in files.items() if name.endswith(".txt")}
        names = sorted(name.split("/")[0] for name in labels)
        for run in names:
            pairs = dict(line.split() for line in labels[f"{run}/class_labels.txt"].splitlines() if line.strip())
            ways, items = [f"{run}/training/class{i:02}.png" for i in range(1, 21)], sorted(pairs)
            support.append([[rows[way]] for way in ways])
            query.append([rows[item] for item in items])
            truth.append([ways.index(pairs[item]) for item in items])
        episodes = Episodes(torch.tensor(support), torch.tensor(query), torch.tensor(truth), tuple(names))
    except (KeyError, ValueError, OSError) as error:
        raise LabError(
            f"{printable(path)} is not the 20 official runs ({printable(error)}): copy it again, or remove it"
        ) from error
    if len(names) != 20 or episodes.query.shape != (20, 20) or min(rows.values()) < 0:
        raise LabError(
            f"{printable(path)} is not the 20 official runs of 20 x 20 Omniglot drawings: copy it again, or remove it"
        )
    return episodes
