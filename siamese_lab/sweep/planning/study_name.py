"""What a study is called, where the user does not say so."""

from collections.abc import Sequence
from pathlib import Path

from siamese_lab.config.groups import folders, group_names, option_names
from siamese_lab.core.errors import LabError
from siamese_lab.core.paths import config_dir, refuse_study
from siamese_lab.sweep.planning.hashes import short_hash

NOT_IN_NAME = ("study", "launcher", "search", "trainer.progress")
"""Keys that do not make another study of a sweep without a name."""


def study_name(words: Sequence[str], config_dirs: Sequence[Path], zips: Sequence[str], cases: Sequence[str]) -> str:
    """The study's name: the given one, else after its axes and a hash of what its runs share."""
    given = next((word.partition("=")[2] for word in reversed(words) if word.startswith("study=")), None)
    if given is not None:
        return given
    from siamese_lab.sweep.planning import grid  # here: Hydra takes long to import

    fixed, swept, ranges = grid.read_axes(words, all_options(config_dirs))
    keys = list(dict.fromkeys([*swept, *ranges, *(key for case in cases for key in grid.read_case(case))]))
    shared = sorted(word for word in fixed if not word.startswith(NOT_IN_NAME))
    names = [key.rpartition(".")[2].partition("@")[0].strip("+") for key in keys if key != "seed"] or ["seeds"]
    return f"{'_x_'.join(names)[:80]}-{short_hash([shared, sorted(keys), sorted([*zips, *cases])])[:6]}"


def all_options(config_dirs: Sequence[Path]) -> dict[str, list[str]]:
    """{group: its options}, the user's own among them."""
    dirs = folders(config_dir(), config_dirs)
    return {group: option_names(group, dirs) for group in group_names(dirs)}


def refuse_study_name(name: str) -> None:
    """Raises a LabError if a study cannot be called so."""
    refuse_study(name)
    if name == "single":
        raise LabError("study=single is where runs lie that belong to no study: give the sweep another name, or none")
