"""Says the result of a comparison in sentences, which every format prints."""

from math import comb

from siamese_lab.compare.analysis.comparison import COSTS, LEVEL, Comparison, Configuration, Contrast
from siamese_lab.compare.report.numbers import (
    cost_text,
    counted,
    difference_text,
    difference_unit,
    interval_ends,
    p_text,
)
from siamese_lab.core.text import first_few, format_value, printable
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
    left, right, both = _distinguishing_names(contrast.left, contrast.right)
    gain, unit = contrast.gain, comparison.unit
    if gain is None:
        return f"nothing can be said of {left} and {right}{both.rstrip(',')}: {NO_COMMON_SEED}"
    aside = _aside(contrast, gain)
    interval = ("95 % interval " if gain.low is not None else "") + interval_ends(gain, unit)
    size = f"{difference_text(gain.value, gain, unit)} {difference_unit(unit)}, {interval}{aside}"
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
    opened = [(one, counted(len(one.get("runs", [])), "run")) for one in comparison.openings]
    return [printable(f"test part opened {one.get('at')} for {runs}: {one.get('command')}") for one, runs in opened]


def family_sentence(comparison: Comparison) -> str:
    """Which differences are shown, and what they were corrected for."""
    count = len(comparison.contrasts)
    if not count:
        return ""
    if count == 1:
        return "One difference, paired by seed and identity: nothing to correct for. The interval is its 95 % interval."
    pairs = comb(len(comparison.configurations), 2)
    which, seen = "every pair", ""
    if comparison.against_best:
        which = f"each of the others with the best, {comparison.configurations[0].name}"
        seen = ", since the best was seen in these very runs"
    return (
        f"{count} differences, {which}, paired by seed and identity. P values and intervals are adjusted for all "
        f"{pairs} pairs{seen}: with 95 % all intervals hold at once. Better means an adjusted p value below {LEVEL:g}."
    )


def scope_sentence(comparison: Comparison) -> str:
    """Over what the intervals generalise."""
    kinds = {c.gain.over: c.gain for c in comparison.contrasts if c.gain} or {
        c.estimate.over: c.estimate for c in comparison.configurations
    }
    scopes = []
    for over, one in kinds.items():
        sources = [counted(one.seeds, "seed")] if "seeds" in over else []
        sources += [f"{one.identities:,} identities"] if "identities" in over else []
        scopes.append(GENERALISES[over] + (f" (from {' and '.join(sources)})" if sources else ""))
    return f"Intervals speak of {'; some of '.join(scopes)}."


def summary_sentence(comparison: Comparison) -> str:
    """Of many configurations, how many can be told from the best."""
    if not comparison.against_best:
        return ""
    others, best = len(comparison.contrasts), comparison.configurations[0].name
    equal = sum(not one.shown for one in comparison.contrasts)
    if equal == 0:
        return f"{best} is better than all of the {others} others"
    return f"{equal} of the {others} others are not significantly different from the best, {best}"


def cost_front_sentences(comparison: Comparison) -> list[str]:
    """Which configurations are on the front of figure and cost, for each cost."""
    lines = []
    for cost, front in comparison.fronts.items():
        if len({one.cost[cost] for one in comparison.configurations}) == 1:
            continue
        texts = [cost_text(one.cost[cost], cost) for one in front]
        if len(front) == 1:
            lines.append(f"{COSTS[cost]}: {front[0].name} is at once the best and the cheapest ({texts[0]})")
            continue
        values = [format_value(one.estimate.value, comparison.unit) for one in front]
        names = [f"{one.name} ({text}, {value})" for one, text, value in zip(front, texts, values, strict=True)]
        chance = " (as they ran: small differences in time are chance)" if cost == "seconds" else ""
        lines.append(f"{COSTS[cost]}{chance}: worth their cost are {first_few(names, 6)}")
    return lines


def caveats(comparison: Comparison) -> list[str]:
    """What a reader has to bear in mind."""
    if comparison.part == "test":
        return list(comparison.notes)
    flattered = "validation figures at the epoch that validation chose flatter every configuration a little"
    return [f"{flattered}; the test part does not", *comparison.notes]


def notes(comparison: Comparison) -> list[str]:
    """Openings of the test part, caveats, and the runs that are left out."""
    left_out: dict[str, list[str]] = {}  # by the reason
    for run in comparison.left_out:
        why = run.why if run.state in ("ok", "broken") else f"{run.state}, {run.why}"
        left_out.setdefault(why, []).append(run.name)
    lines = [f"left out: {first_few(names, 3)}: {why}" for why, names in left_out.items()]
    return [*opening_sentences(comparison), *caveats(comparison), *lines]


def _distinguishing_names(left: Configuration, right: Configuration) -> tuple[str, str, str]:
    """Both by the axes in which they differ, and ", both with" the others."""
    keys = list(dict.fromkeys([*left.point, *right.point]))
    differ = [key for key in keys if left.point.get(key) != right.point.get(key)]
    texts = [" ".join(f"{key}={one.point[key]}" for key in differ if key in one.point) for one in (left, right)]
    if not all(texts):
        return left.name, right.name, ""
    same = " ".join(f"{key}={left.point[key]}" for key in keys if key not in differ)
    return texts[0], texts[1], f", both with {same}," if same else ""
