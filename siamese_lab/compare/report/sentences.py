"""Says the result of a comparison in sentences, which every format prints."""

from collections.abc import Sequence
from math import comb

from siamese_lab.compare.analysis.comparison import COSTS, LEVEL, Comparison, Configuration, Contrast
from siamese_lab.compare.report.numbers import (
    cost_text,
    counted,
    difference_text,
    difference_unit,
    interval_text,
    p_text,
)
from siamese_lab.core.text import format_value, printable
from siamese_lab.statistics.estimates import Estimate, Unusable

GENERALISES = {
    "seeds and identities": "other seeds and other identities of the same kind",
    "seeds": "other seeds, evaluated on these very identities",
    "identities": "other identities, but these very seeds: another seed may turn it round",
    "nothing": "nothing but these very runs",
}
UNUSABLE = {
    Unusable.NONE: "no influences of identities",
    Unusable.FEW: "too few identities",
    Unusable.DIFFER: "other identities with each seed",
    Unusable.NOT_FINITE: "influences that are not finite",
}
NO_COMMON_SEED = "no seed in common: run both with the same seeds"


def contrast_sentence(contrast: Contrast, comparison: Comparison) -> str:
    """One sentence of a difference."""
    left, right, both = _names(contrast.left, contrast.right)
    gain, unit = contrast.gain, comparison.unit
    if gain is None:
        return f"nothing can be said of {left} and {right}{both.rstrip(',')}: {NO_COMMON_SEED}"
    aside = _aside(contrast, gain)
    size = f"{difference_text(gain.value, gain, unit)} {difference_unit(unit)}, {interval_text(gain, unit)}{aside}"
    if contrast.shown:
        return f"{left} is better than {right}{both} by {size}"
    if gain.p is None:
        return f"nothing can be said of {left} and {right}{both.rstrip(',')}: {estimate_note(gain)}"
    seen = f" ({left} is ahead by {size})" if gain.value else ""
    start = f"no difference between {left} and {right}{both} can be shown with {counted(gain.seeds, 'seed')}"
    return f"{start}{_remedy(gain)}{seen}"


def _remedy(gain: Estimate) -> str:
    """What would show a difference that is not shown."""
    if not gain.value:
        return ": they are equal"
    if gain.seeds == 1:
        return ": more would show whether another seed turns it round"
    if gain.more_than is not None:
        return f": more than {gain.more_than:,} would be needed"
    if gain.needed is None:
        return f", and no number of them would do: {gain.identities} identities are too few"
    if gain.needed <= gain.seeds:
        return " once the comparisons are corrected for"
    return f": {gain.needed:,} would be needed"


def _aside(contrast: Contrast, gain: Estimate) -> str:
    said = []
    if gain.seeds == 1 and contrast.shown:
        said.append("with one seed only")
    if contrast.adjusted is not None and not contrast.shown and (gain.p or 1) < LEVEL:
        said.append(f"taken alone p = {p_text(gain.p)}, corrected {p_text(contrast.adjusted)}")
    said += _pairing(contrast)
    if gain.unusable is Unusable.DIFFER:
        said.append(UNUSABLE[gain.unusable])
    return "".join(f"; {words}" for words in said)


def _pairing(contrast: Contrast) -> list[str]:
    """How the pairs differ from the full ones, seed by seed and identity by identity."""
    said = []
    if contrast.other_identities:
        said.append("evaluated on other identities, so paired by seed alone")
    if contrast.dropped_seeds:
        said.append(f"only seeds that both have: not {', '.join(contrast.dropped_seeds)}")
    return said


def contrast_note(contrast: Contrast) -> str:
    """What else there is to say of a difference; "" where there is nothing."""
    if contrast.gain is None:
        return NO_COMMON_SEED
    return "; ".join(filter(None, [*_pairing(contrast), estimate_note(contrast.gain)]))


def estimate_note(estimate: Estimate) -> str:
    """Why an interval, the identities or a number of seeds is lacking; "" where nothing is."""
    unusable = UNUSABLE[estimate.unusable] if estimate.unusable else ""
    if unusable and estimate.seeds == 1:
        return f"one seed and {unusable}"
    said = [unusable, "no scatter to judge by" if estimate.no_scatter else ""]
    if estimate.more_than is not None:
        said.append(f"more than {estimate.more_than:,} seeds would be needed")
    if estimate.out_of_reach:
        said.append("no number of seeds would do" + (": more identities would be needed" if estimate.value else ""))
    return "; ".join(filter(None, said))


def heading(comparison: Comparison) -> str:
    """What is compared, on what."""
    way = "lower" if comparison.better == "low" else "higher"
    return f"{comparison.title}: {comparison.metric}, {part_phrase(comparison)}, {way} is better"


def part_phrase(comparison: Comparison) -> str:
    """Which part was evaluated, and whether the test part was opened."""
    times = len(comparison.openings)
    opened = f"opened {'once' if times == 1 else f'{times} times'}"
    if comparison.part == "test":
        return f"test part, {opened}" if times else "test part"
    if any(run.sealed for run in comparison.runs) and not times:
        return "validation part (test sealed)"
    return f"validation part (the test part was {opened})" if times else "validation part"


def opening_sentences(comparison: Comparison) -> list[str]:
    """When the test part was opened, by which command."""
    made = []
    for one in comparison.openings:
        runs = counted(len(one.get("runs", [])), "run")
        made.append(printable(f"test part opened {one.get('at')} for {runs}: {one.get('command')}"))
    return made


def family_sentence(comparison: Comparison) -> str:
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
    pairs = comb(len(comparison.configurations), 2)
    seen = ", since the best was seen in these very runs" if comparison.against_best else ""
    return (
        f"{count} differences, {which}, paired by seed and identity. P values and intervals are adjusted for all "
        f"{pairs} pairs{seen}: with 95 % all intervals hold at once. Better means an adjusted p value below {LEVEL:g}."
    )


def scope_sentence(comparison: Comparison) -> str:
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


def summary_sentence(comparison: Comparison) -> str:
    """Of many configurations, how many can be told from the best."""
    found = comparison.contrasts
    if not comparison.against_best:
        return ""
    equal = sum(not one.shown for one in found)
    best = comparison.configurations[0].name
    if equal == 0:
        return f"{best} is better than all of the {len(found)} others"
    return f"{equal} of the {len(found)} others cannot be told from the best, {best}"


def cost_front_sentences(comparison: Comparison) -> list[str]:
    """Who is on the front of figure and cost, for each cost."""
    made = []
    for cost, found in comparison.fronts.items():
        one = found[0]
        if len(comparison.configurations) == 1 or len({other.cost[cost] for other in comparison.configurations}) == 1:
            continue
        if len(found) == 1:
            made.append(
                f"{COSTS[cost]}: {one.name} is at once the best and the cheapest ({cost_text(one.cost[cost], cost)})"
            )
            continue
        names = ", ".join(
            f"{c.name} ({cost_text(c.cost[cost], cost)}, {format_value(c.estimate.value, comparison.unit)})"
            for c in found[:6]
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


def notes(comparison: Comparison) -> list[str]:
    """Openings of the test part, caveats, and the runs that are left out."""
    left_out = [f"left out: {line}" for line in left_out_sentences(comparison)]
    return [*opening_sentences(comparison), *caveats(comparison), *left_out]


def left_out_sentences(comparison: Comparison) -> list[str]:
    """The runs that do not count: how many of each state and reason, and which."""
    groups: dict[tuple[str, str], list[str]] = {}
    for run in comparison.left_out:
        groups.setdefault((run.state, run.why), []).append(run.name)
    made = []
    for (state, why), names in groups.items():
        some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        made.append(f"{some}: {state}, {why}" if state not in ("ok", "broken") else f"{some}: {why}")
    return made


def _names(left: Configuration, right: Configuration) -> tuple[str, str, str]:
    """Both by the axes in which they differ, and ", both with" the others."""
    keys: Sequence[str] = list(dict.fromkeys([*left.point, *right.point]))
    differ = [key for key in keys if left.point.get(key) != right.point.get(key)]
    texts = [" ".join(f"{key}={one.point[key]}" for key in differ if key in one.point) for one in (left, right)]
    if not all(texts):
        return left.name, right.name, ""
    same = " ".join(f"{key}={left.point[key]}" for key in keys if key not in differ)
    return texts[0], texts[1], f", both with {same}," if same else ""
