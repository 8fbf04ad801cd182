"""From points to configs: an axis that the options of a point lack collapses there, what fits nowhere is refused."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from siamese_lab.config.compatibility import refuse_misfits, unstated
from siamese_lab.config.compose import compose, skeleton
from siamese_lab.config.identity import resolved_hash
from siamese_lab.config.ranges import check_ranges
from siamese_lab.config.targets import resolve_target
from siamese_lab.core.dotted import has_key
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import nearest
from siamese_lab.runs.job import combination, describe_point
from siamese_lab.sweep.planning.grid import Point
from siamese_lab.sweep.planning.study_name import all_options

MATCHED = ("Loss", "Miner", "Sampling", "Distance")  # with the memory, what must go together
MAX_LISTED = 10  # misfits that a message lists


@dataclass
class _Combination:
    asked: Point  # without the seed
    kept: Point  # what its options know of it
    words: list[str]  # to compose
    excluded: bool = False
    cfg: DictConfig | None = None  # None where it is excluded or unfit


def expand(
    fixed: Sequence[str],
    points: Sequence[Point],
    config_dirs: Sequence[Path],
    study: str,
    exclude: Sequence[Mapping[str, str]] = (),
    skip_unfit: bool = False,
    lenient: bool = False,
) -> tuple[list[tuple[Point, DictConfig]], list[str]]:
    """Composes every distinct combination of everything but the seed.

    Args:
        fixed: words that all points have.
        skip_unfit: leave out what cannot work, e.g. a miner with a loss that takes no mined tuples.
        lenient: a value key that fits no point is dropped: the points are not all of the study.

    Returns:
        (point, config) in the order of the points, each config once: the points have the seed, and not what their
        options lack; notes for the user, on axes that some options lack and on combinations that were left out.

    Raises:
        LabError: with all that is wrong.
    """
    shared = dict(word.split("=", 1) for word in fixed)
    combinations = _combine(shared, points, config_dirs, exclude, lenient)
    notes = _collapsed_axes(combinations.values())
    notes += _compose_all(combinations.values(), config_dirs, study, skip_unfit)
    configs, known = [], set()
    for point in points:
        one = combinations[combination(point)]
        if one.cfg is None:
            continue
        cfg = _with_seed(one.cfg, point.get("seed"))
        values = shared | point | {"seed": str(cfg.seed)}
        if any("seed" in other and _is_excluded(values, other) for other in exclude):
            continue
        identity = resolved_hash(cfg)
        if identity not in known:
            known.add(identity)
            configs.append((one.kept | {"seed": str(cfg.seed)}, cfg))
    if not configs:
        raise LabError("nothing is left of this sweep: every combination is excluded or cannot work")
    return configs, notes


def _find_misfit(cfg: DictConfig) -> str | None:
    """What does not go together of the classes that a config names; None where they fit.

    None also where a class states what it needs only once it is built: `siamese-lab check` then finds it.
    """
    # a class states of itself what its objects do, so it passes for one of them
    parts: dict[str, Any] = {kind: resolve_target(cfg[kind.lower()]._target_) for kind in MATCHED}
    if any(unstated(kind, part) for kind, part in parts.items()):
        return None
    memory: Any = resolve_target(cfg.memory._target_) if cfg.get("memory") else None
    try:
        refuse_misfits(parts["Loss"], parts["Miner"], parts["Sampling"], parts["Distance"], memory)
    except LabError as error:
        return str(error)
    return None


def _combine(
    shared: Mapping[str, str],
    points: Sequence[Point],
    config_dirs: Sequence[Path],
    exclude: Sequence[Mapping[str, str]],
    lenient: bool,
) -> dict[tuple[tuple[str, str], ...], _Combination]:
    """The distinct combinations of the points, each with the keys that its options know."""
    groups = all_options(config_dirs)
    skeletons: dict[tuple[str, ...], dict[str, Any]] = {}
    misfits: dict[str, None] = {}  # in the order found
    found: dict[tuple[tuple[str, str], ...], _Combination] = {}
    valid = {"study"}  # keys that some option knows
    for point in points:
        if combination(point) in found:
            continue
        asked = {key: value for key, value in point.items() if key != "seed"}
        every = {**shared, **asked}
        values = {key: value for key, value in every.items() if key.partition("@")[0] not in groups}
        choices = tuple(f"{key}={value}" for key, value in every.items() if key not in values)
        if choices not in skeletons:
            try:
                skeletons[choices] = skeleton(choices, config_dirs)
            except LabError as error:
                misfits |= dict.fromkeys(error.misfits)
                skeletons[choices] = {}
        known = {key for key in values if key.startswith("+") or has_key(skeletons[choices], key)}
        valid |= known | (every.keys() - values.keys())
        kept = {key: value for key, value in asked.items() if key not in values or key in known}
        words = [*choices, *(f"{key}={value}" for key, value in values.items() if key in known)]
        excluded = any("seed" not in other and _is_excluded(every, other) for other in exclude)
        found[combination(point)] = _Combination(asked, kept, words, excluded)
    if misfits:
        raise LabError("this sweep cannot run:\n  " + "\n  ".join(misfits))
    values = {**shared} | {key: value for one in found.values() for key, value in one.asked.items()}
    nowhere = sorted(values.keys() - valid)
    if nowhere and not lenient:
        first = next(iter(found.values()))
        compose([*first.words, *(f"{key}={values[key]}" for key in nowhere)], config_dirs)  # names the nearest keys
        raise LabError(f"no key {nowhere[0]}")
    for key in (key for other in exclude for key in other):
        if key not in values and key != "seed":
            raise LabError(f"exclude names {key}, which no run of this study sets{nearest(key, {*values, 'seed'})}")
    return found


def _compose_all(
    combinations: Iterable[_Combination], config_dirs: Sequence[Path], study: str, skip_unfit: bool
) -> list[str]:
    """Composes the config of each combination; returns notes on those that are left out since they cannot work."""
    notes: list[str] = []
    misfits: dict[str, list[str]] = {}
    for one in combinations:
        if one.excluded:
            continue
        name = describe_point(one.kept)
        try:
            cfg = compose([*one.words, f"study={study}"], config_dirs)
            misfit = _find_misfit(cfg)
        except LabError as error:
            for line in error.misfits:
                misfits.setdefault(line, []).append(name)
            continue
        if misfit is None:
            one.cfg = cfg
        elif skip_unfit:
            notes.append(f"{name} is left out: {misfit}")
        else:
            misfits.setdefault(f"{misfit}: --skip-unfit leaves such combinations out", []).append(name)
    if misfits:
        listed = [f"{line} ({', '.join(names[:2])}{', ...' * (len(names) > 2)})" for line, names in misfits.items()]
        more = f"\n  and {len(listed) - MAX_LISTED} more" if len(listed) > MAX_LISTED else ""
        raise LabError("this sweep cannot run:\n  " + "\n  ".join(listed[:MAX_LISTED]) + more)
    return notes


def _collapsed_axes(combinations: Iterable[_Combination]) -> list[str]:
    """Notes on the options that lack some axes: their combinations differ in nothing and run once."""
    times: dict[tuple[str, tuple[str, ...]], set[tuple[tuple[str, str], ...]]] = {}
    for one in combinations:
        dropped = tuple(key for key in one.asked if key not in one.kept)
        for key in dropped:
            group = key.split(".")[0]
            where = f"{group}={one.asked[group]}" if group in one.asked else describe_point(one.kept) or "this"
            times.setdefault((where, dropped), set()).add(tuple((key, one.asked[key]) for key in dropped))
    return [
        f"{where} has no {' or '.join(keys)}: it runs once, not {len(values)} times"
        for (where, keys), values in times.items()
        if len(values) > 1
    ]


def _with_seed(cfg: DictConfig, seed: str | None) -> DictConfig:
    if seed is None:
        return cfg
    misfits: list[str] = []
    if seed.isdigit():
        check_ranges({"seed": int(seed)}, misfits)
    else:
        misfits.append(f"seed must be a whole number >= 0, got {seed}")
    if misfits:
        raise LabError(misfits[0])
    copy = DictConfig(OmegaConf.to_container(cfg))
    copy.seed = int(seed)
    OmegaConf.set_struct(copy, True)
    return copy


def _is_excluded(values: Mapping[str, str], exclusion: Mapping[str, str]) -> bool:
    return all(key in values and _is_equal(values[key], value) for key, value in exclusion.items())


def _is_equal(a: str, b: str) -> bool:
    """Whether two values are the same; numbers are compared as numbers, 0.5 and 0.50 are one."""
    try:
        return a == b or float(a) == float(b)
    except ValueError:
        return False
