"""What a comparison says in plain sentences. Every format prints these."""

from collections.abc import Sequence
from math import floor, log10

from siamese_lab.compare.analysis.comparison import COSTS, LEVEL, Comparison, Configuration, Contrast
from siamese_lab.core.text import format_value as figure
from siamese_lab.core.text import printable
from siamese_lab.statistics.estimates import Estimate

GENERALISES = {
    "seeds and identities": "other seeds and other identities of the same kind",
    "seeds": "other seeds, evaluated on these very identities",
    "identities": "other identities, but these very seeds: another seed may turn it round",
    "nothing": "nothing but these very runs",
}


def contrast_sentence(contrast: Contrast, comparison: Comparison) -> str:
    """One sentence of a difference."""
    left, right, both = _names(contrast.left, contrast.right)
    gain, unit = contrast.gain, comparison.unit
    if gain is None:
        return f"nothing can be said of {left} and {right}{both.rstrip(',')}: {contrast.note}"
    aside = _aside(contrast, gain)
    if contrast.shown:
        return (
            f"{left} is better than {right}{both} by {amount(gain.value, gain, unit)} {points(unit)}, "
            f"{interval(gain, unit)}{aside}"
        )
    if gain.p is None:
        return f"nothing can be said of {left} and {right}{both.rstrip(',')}: {gain.note}"
    seen = (
        f"{left} is ahead by {amount(gain.value, gain, unit)} {points(unit)}, {interval(gain, unit)}{aside}"
        if gain.value
        else ""
    )
    head = f"no difference between {left} and {right}{both} can be shown with {counted(gain.seeds, 'seed')}"
    return head + _remedy(contrast, gain) + (f" ({seen})" if seen else "")


def _remedy(contrast: Contrast, gain: Estimate) -> str:
    if not gain.value:
        return ": they are equal"
    if gain.seeds == 1:
        return ": more would show whether another seed turns it round"
    if gain.needed is None:
        most = "more than 1,000 would be needed" in gain.note or "1,000 seeds" in gain.note
        return (
            ": more than 1,000 would be needed"
            if most
            else f", and no number of them would do: {gain.identities} identities are too few"
        )
    if gain.needed <= gain.seeds:
        return " once the comparisons are corrected for"
    return f": {gain.needed:,} would be needed"


def _aside(contrast: Contrast, gain: Estimate) -> str:
    said = []
    if gain.seeds == 1 and contrast.shown:
        said.append("with one seed only")
    if contrast.adjusted is not None and not contrast.shown and (gain.p or 1) < LEVEL:
        said.append(f"taken alone p = {p_value(gain.p)}, corrected {p_value(contrast.adjusted)}")
    if "only seeds" in contrast.note or "other identities" in contrast.note:
        said.append(contrast.note.partition(";")[0])
    return "".join(f"; {words}" for words in said)


def head(comparison: Comparison) -> str:
    """What is compared, on what."""
    way = "lower" if comparison.better == "low" else "higher"
    return f"{comparison.title}: {comparison.metric}, {part(comparison)}, {way} is better"


def part(comparison: Comparison) -> str:
    """Which part was evaluated, and whether the test part was opened."""
    times = len(comparison.openings)
    opened = f"opened {'once' if times == 1 else f'{times} times'}"
    if comparison.part == "test":
        return f"test part, {opened}" if times else "test part"
    if any(run.sealed for run in comparison.runs) and not times:
        return "validation part (test sealed)"
    return f"validation part (the test part was {opened})" if times else "validation part"


def openings(comparison: Comparison) -> list[str]:
    """When the test part was opened, by which command."""
    made = []
    for one in comparison.openings:
        runs = counted(len(one.get("runs", [])), "run")
        made.append(printable(f"test part opened {one.get('at')} for {runs}: {one.get('command')}"))
    return made


def family(comparison: Comparison) -> str:
    """Which differences are shown, and what they were corrected for."""
    count = len(comparison.contrasts)
    if not count:
        return ""
    which = (
        f"each of the others with the best, {comparison.configurations[0].name}"
        if comparison.against_best
        else "every pair"
    )
    if count == 1:
        return "One difference, paired by seed and identity: nothing to correct for. The interval is its 95 % interval."
    return (
        f"{count} differences, {which}, paired by seed and identity: better means a p value below {LEVEL:g} after "
        "Holm's correction "
        f"for all {count}. Intervals are each one's own 95 % interval."
    )


def generalises(comparison: Comparison) -> str:
    """Over what the intervals generalise."""
    kinds = {c.gain.over: c.gain for c in comparison.contrasts if c.gain} or {
        c.estimate.over: c.estimate for c in comparison.configurations
    }
    said = []
    for over, one in kinds.items():
        of_what = []
        if "seeds" in over:
            of_what.append(counted(one.seeds, "seed"))
        if "identities" in over:
            of_what.append(f"{one.identities:,} identities")
        said.append(GENERALISES[over] + (f" (from {' and '.join(of_what)})" if of_what else ""))
    return f"Intervals speak of {'; some of '.join(said)}."


def summary(comparison: Comparison) -> str:
    """Of many configurations, how many can be told from the best."""
    found = comparison.contrasts
    if not comparison.against_best:
        return ""
    equal = sum(not one.shown for one in found)
    best = comparison.configurations[0].name
    if equal == 0:
        return f"{best} is better than all of the {len(found)} others"
    return f"{equal} of the {len(found)} others cannot be told from the best, {best}"


def front(comparison: Comparison) -> list[str]:
    """Who is on the front of figure and cost, for each cost."""
    made = []
    for cost, found in comparison.fronts.items():
        one = found[0]
        if len(comparison.configurations) == 1 or len({other.cost[cost] for other in comparison.configurations}) == 1:
            continue
        if len(found) == 1:
            made.append(
                f"{COSTS[cost]}: {one.name} is at once the best and the cheapest ({spent(one.cost[cost], cost)})"
            )
            continue
        names = ", ".join(
            f"{c.name} ({spent(c.cost[cost], cost)}, {figure(c.estimate.value, comparison.unit)})" for c in found[:6]
        )
        chance = " (as they ran: small differences in time are chance)" if cost == "seconds" else ""
        made.append(
            f"{COSTS[cost]}{chance}: worth their cost are "
            f"{names}{f' and {len(found) - 6} more' if len(found) > 6 else ''}"
        )
    return made


def caveats(comparison: Comparison) -> list[str]:
    """What a reader has to bear in mind."""
    said = []
    if comparison.part == "val":
        said.append(
            "validation figures at the epoch that validation chose flatter every configuration a little; the test "
            "part does not"
        )
    return [*said, *comparison.notes]


def left_out(comparison: Comparison) -> list[str]:
    """The runs that do not count: how many of each state and reason, and which."""
    groups: dict[tuple[str, str], list[str]] = {}
    for run in comparison.left_out:
        groups.setdefault((run.state, run.why), []).append(run.name)
    made = []
    for (state, why), names in groups.items():
        some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        made.append(f"{some}: {state}, {why}" if state not in ("ok", "broken") else f"{some}: {why}")
    return made


def mean(one: Configuration, unit: str) -> str:
    """A configuration's mean as text."""
    return figure(one.estimate.value, unit)


def mean_interval(one: Configuration, unit: str) -> str:
    """The interval of a configuration's mean, clipped to what a share can be; empty where there is none."""
    low, high = one.estimate.low, one.estimate.high
    if low is None or high is None:
        return ""
    if unit == "share":
        low, high = max(low, 0.0), min(high, 1.0)
    return f"{figure(low, unit)} to {figure(high, unit)}"


def interval(gain: Estimate, unit: str) -> str:
    """ "95 % interval 0.9 to 3.2"; says so where there is none."""
    if gain.low is None or gain.high is None:
        return "no interval"
    return f"95 % interval {amount(gain.low, gain, unit)} to {amount(gain.high, gain, unit)}"


def amount(value: float, gain: Estimate, unit: str) -> str:
    """A difference with as many digits as its interval allows; shares in points."""
    scale = 100 if unit == "share" else 1
    half = scale * (gain.high - gain.low) / 2 if gain.low is not None and gain.high is not None else 0.0
    digits = min(max(1 - floor(log10(half)), 1), 4) if half > 0 else 2
    text = f"{scale * value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def points(unit: str) -> str:
    """What differences are counted in."""
    return "points" if unit == "share" else f"({unit})"


def p_value(p: float | None) -> str:
    """Three digits where it matters; "< 0.001" below that."""
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3g}" if p < 0.1 else f"{p:.2g}"


def spent(value: float, cost: str) -> str:
    """A cost as text: 12 s, 8,272, 231 k, 5.1 M."""
    if cost == "seconds":
        return f"{value:,.0f} s" if value >= 10 else f"{value:.1f} s"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:,.0f}"


def counted(number: int, noun: str) -> str:
    """ "one seed", "3 seeds"."""
    return f"one {noun}" if number == 1 else f"{number:,} {noun}s"


def _names(left: Configuration, right: Configuration) -> tuple[str, str, str]:
    """Both by the axes in which they differ, and ", both with" the others."""
    keys: Sequence[str] = list(dict.fromkeys([*left.point, *right.point]))
    differ = [key for key in keys if left.point.get(key) != right.point.get(key)]
    texts = [" ".join(f"{key}={one.point[key]}" for key in differ if key in one.point) for one in (left, right)]
    if not all(texts):
        return left.name, right.name, ""
    same = " ".join(f"{key}={left.point[key]}" for key in keys if key not in differ)
    return texts[0], texts[1], f", both with {same}," if same else ""
