"""Numbers as text: means, differences, intervals, p values and costs."""

from math import floor, log10

from siamese_lab.compare.analysis.comparison import Configuration
from siamese_lab.core.text import format_value
from siamese_lab.statistics.estimates import Estimate

COST_NAMES = {"seconds": "time", "multiply_adds": "multiply-adds"}
"""Short names of costs, for headings; the others are called as their key is."""


def mean_interval(one: Configuration, unit: str) -> str:
    """The interval of a configuration's mean, clipped to what a share can be; empty where there is none."""
    low, high = one.estimate.low, one.estimate.high
    if low is None or high is None:
        return ""
    if unit == "share":
        low, high = max(low, 0.0), min(high, 1.0)
    return f"{format_value(low, unit)} to {format_value(high, unit)}"


def interval_ends(gain: Estimate, unit: str) -> str:
    """The ends of a difference's interval, "0.9 to 3.2", or "no interval"."""
    if gain.low is None or gain.high is None:
        return "no interval"
    return f"{difference_text(gain.low, gain, unit)} to {difference_text(gain.high, gain, unit)}"


def needed_text(gain: Estimate) -> str:
    """The seeds that a difference needs, for a table: "12", "> 1,000", "none would do"; empty where it is not known."""
    if gain.needed is not None:
        return f"{gain.needed:,}"
    if gain.more_than is not None:
        return f"> {gain.more_than:,}"
    return "none would do" if gain.out_of_reach else ""


def difference_text(value: float, gain: Estimate, unit: str) -> str:
    """A difference with as many digits as its interval allows; shares in points."""
    scale = 100 if unit == "share" else 1
    half = scale * (gain.high - gain.low) / 2 if gain.low is not None and gain.high is not None else 0.0
    digits = min(max(1 - floor(log10(half)), 1), 4) if half > 0 else 2
    text = f"{scale * value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def difference_unit(unit: str) -> str:
    """The unit of differences."""
    return "points" if unit == "share" else f"({unit})"


def p_text(p: float | None) -> str:
    """Three digits where it matters; "< 0.001" below that."""
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3g}" if p < 0.1 else f"{p:.2g}"


def cost_text(value: float, cost: str) -> str:
    """A cost as text: 12 s, 8,272, 231 k, 5.1 M."""
    if cost == "seconds":
        return f"{value:,.0f} s" if value >= 10 else f"{value:.1f} s"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:,.0f}"


def counted(number: int, noun: str) -> str:
    """A number with its noun: "one seed", "3 seeds"."""
    return f"one {noun}" if number == 1 else f"{number:,} {noun}s"
