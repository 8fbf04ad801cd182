"""From words with several values to points: grids, axes that go together, lists; without a look at configs."""

import itertools
import math
import shlex
from collections.abc import Mapping, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, Transformer
from hydra.errors import HydraException

from siamese_lab.config.overrides import first_line
from siamese_lab.core.errors import LabError

ONE_PER_STUDY = ("study", "launcher", "search")
MAX_POINTS = 100_000  # a careless range must not fill the memory

Point = dict[str, str]  # key -> value, as a word of the command line has it


def read_axes(
    words: Sequence[str], options: Mapping[str, Sequence[str]]
) -> tuple[list[str], dict[str, list[str]], dict[str, Override]]:
    """Separates fixed words from axes.

    Args:
        words: overrides in Hydra's grammar; of a key that is given twice the last one counts.
        options: of each group, for glob().

    Returns:
        The fixed words; {key: values} of those with several; {key: override} of those without an end, interval(...).

    Raises:
        LabError: with every word that is no override, or has no value at all.
    """
    parser, misfits = OverridesParser.create(), []
    fixed: dict[str, str] = {}
    axes: dict[str, list[str]] = {}
    ranges: dict[str, Override] = {}
    for word in words:
        try:
            override = parser.parse_override(word)
        except (HydraException, ValueError, RecursionError) as error:
            misfits.append(
                f"{word or repr(word)} is no override: write key=value, key=a,b or group=option ({first_line(error)})"
            )
            continue
        key = f"+{override.key_or_group}" if override.is_add() else override.key_or_group
        if override.is_delete():
            misfits.append(
                f"{word} would leave out what every run needs: choose another option or value instead, {key}=..."
            )
            continue
        for known in (fixed, axes, ranges):
            known.pop(key, None)
        value = override.value()
        if key in options and isinstance(value, dict):
            misfits.append(f"{word}: in a sweep {key} takes an option; write a value as {key}.KEY=...")
        elif isinstance(value, IntervalSweep):
            ranges[key] = override
        elif isinstance(value, Glob):
            axes[key] = value.filter(list(options.get(key, ())))
            if not axes[key]:
                misfits.append(f"{word} fits no option of {key}")
        elif override.is_sweep_override():
            drawn = itertools.islice(override.sweep_iterator(transformer=Transformer.encode), MAX_POINTS + 1)
            axes[key] = values = list(dict.fromkeys(map(str, drawn)))
            if not values or values == [""]:
                misfits.append(f"{word} has no value: nothing would run")
        elif value == "" and key and word.endswith("="):
            misfits.append(f"{word} has no value: write {key}=a,b for a sweep")
        else:
            fixed[key] = word
    if misfits:
        raise LabError("this is no sweep:\n  " + "\n  ".join(misfits))
    return list(fixed.values()), axes, ranges


def read_case(text: str) -> Point:
    """A point of a list, "key=value key=value".

    Raises:
        LabError: if it is none.
    """
    try:
        pairs = [word.partition("=") for word in shlex.split(text)]
    except ValueError as error:
        raise LabError(f"--case {text!r} is no list of key=value: {error}") from error
    if not pairs or not all(key and equals and value for key, equals, value in pairs):
        raise LabError(f"--case must be 'key=value key=value ...', got {text!r}")
    if bad := [key for key, _, _ in pairs if key.split(".")[0] in ONE_PER_STUDY]:
        raise LabError(f"{bad[0]} is the same for all runs of a study: write it beside the cases, not into {text!r}")
    return {key: value for key, _, value in pairs}


def grid_points(
    axes: Mapping[str, Sequence[str]], zips: Sequence[str] = (), cases: Sequence[Point] = ()
) -> list[Point]:
    """All points: every value with every other, but for axes that go together; crossed with the cases.

    The seed varies slowest.

    Args:
        zips: "key,key": axes of which the first values go together, then the second ones, ...
        cases: points of a list.

    Raises:
        LabError: for a zip of axes that are none, or of different lengths; for a key that both axes and cases have; for
            too many.
    """
    if both := [key for key in axes if any(key in one for one in cases)]:
        raise LabError(
            f"{both[0]} is both an axis and in a case, so it is unclear which one counts: leave one of them out"
        )
    zipped: set[str] = set()
    together: list[list[Point]] = []
    for words in zips:
        keys = [key.strip() for key in words.split(",") if key.strip()]
        together.append(_zip_axes(words, keys, axes, zipped))
        zipped |= set(keys)
    single = [[{key: value} for value in values] for key, values in axes.items() if key not in zipped]
    single.sort(key=lambda points: "seed" not in points[0])
    seeds = [points for points in single if "seed" in points[0]]
    parts = [*seeds, *([list(cases)] if cases else []), *together, *single[len(seeds) :]]
    if math.prod(map(len, parts)) > MAX_POINTS:
        raise LabError(
            f"this sweep has more than {MAX_POINTS:,} points: leave values out, or look for the best with search=tpe"
        )
    return [{key: value for one in chosen for key, value in one.items()} for chosen in itertools.product(*parts)]


def _zip_axes(words: str, keys: Sequence[str], axes: Mapping[str, Sequence[str]], zipped: set[str]) -> list[Point]:
    missing = [key for key in keys if key not in axes]
    if missing or len(keys) < 2:
        raise LabError(
            f"--zip {words}: it takes two axes or more, and {', '.join(missing) or words} is none "
            f"(axes: {', '.join(axes)})"
        )
    if twice := sorted(zipped & set(keys)):
        raise LabError(f"--zip {words}: {', '.join(twice)} goes together with others already")
    if len({len(axes[key]) for key in keys}) > 1:
        lengths = ", ".join(f"{key}: {len(axes[key])}" for key in keys)
        raise LabError(f"--zip {words} needs axes of one length, got {lengths}")
    return [dict(zip(keys, values, strict=True)) for values in zip(*(axes[key] for key in keys), strict=True)]
