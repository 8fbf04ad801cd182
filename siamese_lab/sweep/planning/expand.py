"""From points to configs: an axis that the options of a point lack collapses there, what fits nowhere is refused."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from siamese_lab.config.compatibility import STATED, refuse_misfits, unstated
from siamese_lab.config.compose import compose, skeleton
from siamese_lab.config.groups import folders, group_names, option_names
from siamese_lab.config.identity import resolved_hash
from siamese_lab.config.ranges import check_ranges
from siamese_lab.config.targets import resolve_target
from siamese_lab.core.dotted import has_key
from siamese_lab.core.errors import LabError
from siamese_lab.core.paths import config_dir
from siamese_lab.core.text import nearest
from siamese_lab.sweep.planning.grid import Point

SHOWN = 10  # misfits that a message lists


@dataclass(frozen=True)
class CollapsedAxis:
    """Axes that an option lacks: its combinations differ in nothing and run once.

    Args:
        where: the option, e.g. "loss=contrastive", or the combination.
        keys: of the axes that it lacks.
        points: how many combinations became one.
    """

    where: str
    keys: tuple[str, ...]
    points: int

    def __str__(self) -> str:
        return f"{self.where} has no {' or '.join(self.keys)}: it runs once, not {self.points} times"


@dataclass(frozen=True)
class UnfitCombination:
    """A combination that --skip-unfit leaves out, and what does not go together in it."""

    combination: str
    misfit: str

    def __str__(self) -> str:
        return f"{self.combination} is left out: {self.misfit}"


@dataclass
class ExpandedGrid:
    """The configs of all points.

    Args:
        configs: (point, config) in the order of the points, each config once; the points have the seed, and not what
            their options lack.
        collapsed: the axes that some options lack.
        unfit: the combinations that were left out.
    """

    configs: list[tuple[Point, DictConfig]] = field(default_factory=list)
    collapsed: list[CollapsedAxis] = field(default_factory=list)
    unfit: list[UnfitCombination] = field(default_factory=list)


@dataclass
class _Combination:
    """A point without its seed."""

    point: Point  # what the user asked for
    kept: Point  # what its options know
    words: list[str]  # to compose
    cfg: DictConfig | None = None
    left_out: bool = False  # it is excluded, or unfit


def expand(
    fixed: Sequence[str],
    points: Sequence[Point],
    config_dirs: Sequence[Path],
    study: str,
    exclude: Sequence[Mapping[str, str]] = (),
    skip_unfit: bool = False,
    root: Path | None = None,
    lenient: bool = False,
) -> ExpandedGrid:
    """Composes every distinct combination of everything but the seed.

    Args:
        fixed: words that all points have.
        points: from `axes.points`.
        config_dirs: folders with more options.
        study: the study's name.
        exclude: combinations that are left out.
        skip_unfit: leave out what cannot work, e.g. a miner with a loss that takes no mined tuples.
        root: the folder of train.yaml; default: the lab's.
        lenient: a value key that fits no point is dropped: the points are not all of the study.

    Raises:
        LabError: with all that is wrong.
    """
    dirs = folders(root or config_dir(), config_dirs)
    catalogue = {group: option_names(group, dirs) for group in group_names(dirs)}
    distinct = _distinct(fixed, points, catalogue, config_dirs, exclude, lenient)
    expanded = ExpandedGrid(collapsed=_collapsed(distinct.values()))
    misfits: dict[str, list[str]] = {}
    for one in distinct.values():
        if one.left_out:
            continue
        unfit = None
        try:
            one.cfg = compose([*one.words, f"study={study}"], config_dirs, root)
            unfit = misfit(one.cfg)
        except LabError as error:
            for line in error.misfits:
                misfits.setdefault(line, []).append(_name(one.kept))
        if unfit is not None and skip_unfit:
            one.left_out = True
            expanded.unfit.append(UnfitCombination(_name(one.kept), unfit))
        elif unfit is not None:
            misfits.setdefault(f"{unfit}: --skip-unfit leaves such combinations out", []).append(_name(one.kept))
    if misfits:
        listed = [f"{line} ({', '.join(names[:2])}{', ...' * (len(names) > 2)})" for line, names in misfits.items()]
        more = f"\n  and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
        raise LabError("this sweep cannot run:\n  " + "\n  ".join(listed[:SHOWN]) + more)
    known = set()
    for point in points:
        one = distinct[_key(point)]
        if one.cfg is None or one.left_out:
            continue
        cfg = _seeded(one.cfg, point.get("seed"))
        values = dict(word.split("=", 1) for word in fixed) | point | {"seed": str(cfg.seed)}
        if any("seed" in other and matches(values, other) for other in exclude):
            continue
        shown = one.kept | {"seed": str(cfg.seed)}
        identity = resolved_hash(cfg)
        if identity not in known:
            known.add(identity)
            expanded.configs.append((shown, cfg))
    if not expanded.configs:
        raise LabError("nothing is left of this sweep: every combination is excluded or cannot work")
    return expanded


def matches(values: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether an exclusion fits a point; numbers are compared as numbers, 0.5 and 0.50 are one."""
    return all(key in values and _same(values[key], value) for key, value in other.items())


def misfit(cfg: DictConfig) -> str | None:
    """What `compatibility.refuse_misfits` says of the classes that a config names; None where they go together, and
    where a class states what it needs only once it is built: `check` then finds it.
    """
    parts = {kind: _target(cfg[kind.lower()]) for kind in STATED}
    if any(unstated(kind, part) for kind, part in parts.items()):
        return None
    memory = cfg.get("memory")
    try:
        refuse_misfits(
            parts["Loss"],
            parts["Miner"],
            parts["Sampling"],
            parts["Distance"],
            None if memory is None else _target(memory),
        )
    except LabError as error:
        return str(error)
    return None


def _target(section: DictConfig) -> Any:
    """The class that a section names. It states of itself what its objects do, so it passes for one of them."""
    return resolve_target(section._target_)


def _distinct(
    fixed: Sequence[str],
    points: Sequence[Point],
    catalogue: Mapping[str, Sequence[str]],
    config_dirs: Sequence[Path],
    exclude: Sequence[Mapping[str, str]],
    lenient: bool,
) -> dict[tuple[tuple[str, str], ...], _Combination]:
    pairs = dict(word.split("=", 1) for word in fixed)
    skeletons: dict[tuple[str, ...], dict[str, Any]] = {}
    misfits: dict[str, None] = {}  # in the order found
    found: dict[tuple[tuple[str, str], ...], _Combination] = {}
    valid: set[str] = set()
    for point in points:
        if _key(point) in found:
            continue
        asked = {key: value for key, value in point.items() if key != "seed"}
        values = {key: value for key, value in (pairs | asked).items() if _group(key) not in catalogue}
        choices = [f"{key}={value}" for key, value in (pairs | asked).items() if key not in values]
        if tuple(choices) not in skeletons:
            try:
                skeletons[tuple(choices)] = skeleton(choices, config_dirs)
            except LabError as error:
                misfits |= dict.fromkeys(error.misfits)
                skeletons[tuple(choices)] = {}
        plain = skeletons[tuple(choices)]
        known = {key for key in values if key.startswith("+") or has_key(plain, key)}
        valid |= known
        kept = {key: value for key, value in asked.items() if key not in values or key in known}
        words = [*choices, *(f"{key}={value}" for key, value in values.items() if key in known)]
        one = _Combination(asked, kept, words)
        if any("seed" not in other and matches(pairs | asked, other) for other in exclude):
            one.left_out = True
        found[_key(point)] = one
    if misfits:
        raise LabError("this sweep cannot run:\n  " + "\n  ".join(misfits))
    every = {key for one in found.values() for key in one.point} | set(pairs)
    nowhere = [key for key in every if _group(key) not in catalogue and key not in valid and key != "study"]
    if nowhere and not lenient:
        first = next(iter(found.values()))
        values = pairs | {key: value for one in found.values() for key, value in one.point.items()}
        # says what the nearest keys are
        compose([*first.words, *(f"{key}={values[key]}" for key in sorted(nowhere))], config_dirs)
        raise LabError(f"no key {nowhere[0]}")
    for other in exclude:
        if unknown := [key for key in other if key not in every and key != "seed"]:
            raise LabError(
                f"exclude names {unknown[0]}, which no run of this study sets{nearest(unknown[0], every | {'seed'})}"
            )
    return found


def _collapsed(combinations: Iterable[_Combination]) -> list[CollapsedAxis]:
    """What runs once instead of several times."""
    times: dict[tuple[str, tuple[str, ...]], set[tuple[tuple[str, str], ...]]] = {}
    for one in combinations:
        dropped = tuple(key for key in one.point if key not in one.kept)
        for key in dropped:
            group = key.split(".")[0]
            who = f"{group}={one.point[group]}" if group in one.point else _name(one.kept) or "this"
            times.setdefault((who, dropped), set()).add(tuple((key, one.point[key]) for key in dropped))
    return [CollapsedAxis(who, dropped, len(values)) for (who, dropped), values in times.items() if len(values) > 1]


def _seeded(cfg: DictConfig, seed: str | None) -> DictConfig:
    if seed is None:
        return cfg
    misfits: list[str] = []
    if not seed.isdigit():
        raise LabError(f"seed must be a whole number >= 0, got {seed}")
    check_ranges({"seed": int(seed)}, misfits)
    if misfits:
        raise LabError(misfits[0])
    copy: DictConfig = OmegaConf.create(OmegaConf.to_container(cfg))  # type: ignore[assignment]
    copy.seed = int(seed)
    OmegaConf.set_struct(copy, True)
    return copy


def _same(a: str, b: str) -> bool:
    try:
        return a == b or float(a) == float(b)
    except ValueError:
        return False


def _group(key: str) -> str:
    return key.partition("@")[0]


def _key(point: Point) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, value) for key, value in point.items() if key != "seed"))


def _name(point: Point) -> str:
    return " ".join(f"{key}={value}" for key, value in point.items())
