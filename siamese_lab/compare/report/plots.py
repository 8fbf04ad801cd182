"""What a comparison looks like: all pictures that its runs allow."""

import warnings
from collections.abc import Callable
from functools import partial
from itertools import combinations

from siamese_lab.compare.analysis.comparison import Comparison
from siamese_lab.compare.report.plots_axes import along, heat_map
from siamese_lab.compare.report.plots_cost import against_cost
from siamese_lab.compare.report.plots_det import trade_offs
from siamese_lab.compare.report.svg import Picture
from siamese_lab.compare.selection.axes import levels, numeric
from siamese_lab.core.errors import LabError

MOST_AXES, MOST_MAPS = 4, 3


def comparison_plots(comparison: Comparison) -> tuple[list[Picture], list[str]]:
    """The pictures, and why some are lacking."""
    runs = [run for one in comparison.choices for run in one.runs]
    axes = list(dict.fromkeys(axis for one in comparison.choices for axis in one.point))
    numbers = [axis for axis in axes if numeric(levels(runs, axis)) and len(levels(runs, axis)) > 1]
    words = [axis for axis in axes if axis not in numbers]
    couples = [pair for some in (words, numbers) for pair in combinations(some, 2)]
    tasks: list[Callable[[], Picture | None]] = []
    for number, axis in enumerate(numbers[:MOST_AXES]):
        tasks.append(partial(along, comparison, runs, axes, axis, f"along{number}"))
    for number, pair in enumerate(couples[:MOST_MAPS]):
        tasks.append(partial(heat_map, comparison, runs, axes, pair, f"heat{number}"))
    tasks.append(partial(trade_offs, comparison))
    tasks += [partial(against_cost, comparison, cost) for cost in comparison.fronts]
    made: list[Picture] = []
    lacking: list[str] = []
    with warnings.catch_warnings():
        # the page's fonts draw the texts, matplotlib's only measure them
        warnings.filterwarnings("ignore", "Glyph .* missing")
        for task in tasks:
            try:
                drawn = task()
            except LabError as error:
                lacking.append(f"not drawn: {error}")
            else:
                made.extend([drawn] if drawn else [])
    more = [*numbers[MOST_AXES:], *(" x ".join(pair) for pair in couples[MOST_MAPS:])]
    if more:
        lacking.append(f"not drawn, since there are so many axes: {', '.join(more)}")
    return made, lacking
