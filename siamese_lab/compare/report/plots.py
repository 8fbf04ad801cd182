"""All plots of a comparison that its runs allow."""

import warnings
from collections.abc import Callable
from functools import partial
from itertools import combinations

from siamese_lab.compare.analysis.comparison import Comparison
from siamese_lab.compare.report.plots_axes import axis_plot, heat_map
from siamese_lab.compare.report.plots_cost import cost_plot
from siamese_lab.compare.report.plots_det import det_curves
from siamese_lab.compare.report.svg import ReportPlot
from siamese_lab.compare.selection.axes import all_numbers, axis_values
from siamese_lab.core.errors import LabError

MOST_AXES, MOST_MAPS = 4, 3


def comparison_plots(comparison: Comparison) -> tuple[list[ReportPlot], list[str]]:
    """The plots, and the reasons why some are missing."""
    runs = [run for one in comparison.choices for run in one.runs]
    axes = list(dict.fromkeys(axis for one in comparison.choices for axis in one.point))
    numbers = [axis for axis in axes if all_numbers(axis_values(runs, axis)) and len(axis_values(runs, axis)) > 1]
    words = [axis for axis in axes if axis not in numbers]
    couples = [pair for some in (words, numbers) for pair in combinations(some, 2)]
    tasks: list[Callable[[], ReportPlot | None]] = [
        *(partial(axis_plot, comparison, runs, axes, axis, f"along{i}") for i, axis in enumerate(numbers[:MOST_AXES])),
        *(partial(heat_map, comparison, runs, axes, pair, f"heat{i}") for i, pair in enumerate(couples[:MOST_MAPS])),
        partial(det_curves, comparison),
        *(partial(cost_plot, comparison, cost) for cost in comparison.fronts),
    ]
    plots: list[ReportPlot] = []
    lacking: list[str] = []
    with warnings.catch_warnings():
        # the page's fonts draw the texts, matplotlib's only measure them
        warnings.filterwarnings("ignore", "Glyph .* missing")
        for task in tasks:
            try:
                if (plot := task()) is not None:
                    plots.append(plot)
            except LabError as error:
                lacking.append(f"not drawn: {error}")
    more = [*numbers[MOST_AXES:], *(" x ".join(pair) for pair in couples[MOST_MAPS:])]
    if more:
        lacking.append(f"not drawn, since there are so many axes: {', '.join(more)}")
    return plots, lacking
