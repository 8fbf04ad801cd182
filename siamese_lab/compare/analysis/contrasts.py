"""Groups runs into configurations, takes their paired differences, and finds the fronts of figure and cost."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb

from siamese_lab.compare.analysis.comparison import COSTS, FEW, Configuration, Contrast, Part, Run, by_size
from siamese_lab.statistics import estimates


def group_configurations(runs: Sequence[Run], metric: str, part: Part) -> list[Configuration]:
    """Groups runs by their points, the best first.

    Args:
        runs: that count, each with the metric; of one point each with another seed.
        metric: "<protocol>/<figure>".
        part: of the data.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(run.point.items()), []).append(run)
    found = []
    for group in groups.values():
        group.sort(key=lambda run: by_size(run.seed))
        seeds, values = [run.seed for run in group], [figure_value(run, metric, part) for run in group]
        found.append(configuration(group[0].point, seeds, values, [run.influence for run in group], group))
    return ranked(found, better_way(runs, metric, part))


def configuration(
    point: Mapping[str, str],
    seeds: Sequence[str],
    values: Sequence[float],
    influences: Sequence[Mapping[str, float]],
    runs: Sequence[Run],
) -> Configuration:
    """A Configuration with its mean and costs."""
    known = {key: [run.cost[key] for run in runs if key in run.cost] for key in COSTS}
    cost = {key: sum(found) / len(found) for key, found in known.items() if found}
    return Configuration(point, seeds, values, influences, estimates.mean(values, influences), cost, runs)


def contrasts(found: Sequence[Configuration], better: str) -> list[Contrast]:
    """The paired differences of configurations (the best first), adjusted for every pair of them.

    Also where each is only compared with the best: which one is the best was seen in these very runs.

    Args:
        found: see `group_configurations`.
        better: "low" or "high".
    """
    pairs = list(combinations(found, 2)) if len(found) <= FEW else [(found[0], other) for other in found[1:]]
    return [_contrast(a, b, better, comb(len(found), 2)) for a, b in pairs]


def _contrast(a: Configuration, b: Configuration, better: str, comparisons: int) -> Contrast:
    seeds = [seed for seed in a.seeds if seed in set(b.seeds)]
    if not seeds:
        return Contrast(a, b, [], None)
    rows = [(a.seeds.index(seed), b.seeds.index(seed)) for seed in seeds]
    gain = sum(b.values[j] - a.values[i] for i, j in rows) * (1 if better == "low" else -1)
    if gain < 0:  # on the seeds that they share the other one is ahead
        a, b, rows = b, a, [(j, i) for i, j in rows]
    one = [a.values[i] for i, _ in rows], [a.influences[i] for i, _ in rows]
    two = [b.values[j] for _, j in rows], [b.influences[j] for _, j in rows]
    other_identities = any(x and y and x.keys() != y.keys() for x, y in zip(one[1], two[1], strict=True))
    if other_identities:
        one, two = (one[0], [{}] * len(rows)), (two[0], [{}] * len(rows))
    dropped = sorted({*a.seeds, *b.seeds} - set(seeds), key=by_size)
    first, second = (two, one) if better == "low" else (one, two)
    estimate = estimates.difference(*first, *second, comparisons)
    return Contrast(a, b, seeds, estimate, other_identities=other_identities, dropped_seeds=dropped)


def fronts(found: Sequence[Configuration], better: str) -> dict[str, list[Configuration]]:
    """For each cost that all configurations know: those that no other one beats, the cheapest first.

    One is beaten by another that costs no more and has no worse a mean, and is strictly better in one of the two.
    """
    by_cost = {}
    for cost in COSTS:
        if not all(cost in one.cost for one in found):
            continue
        front: list[Configuration] = []
        for one in sorted(found, key=lambda one: (one.cost[cost], goodness(one.estimate.value, better))):
            last = front[-1] if front else None
            equal = last is not None and (one.cost[cost], one.estimate.value) == (last.cost[cost], last.estimate.value)
            if last is None or equal or goodness(one.estimate.value, better) < goodness(last.estimate.value, better):
                front.append(one)
        by_cost[cost] = front
    return by_cost


def ranked(found: Sequence[Configuration], better: str) -> list[Configuration]:
    """The best mean first; of equal ones, those with more seeds."""
    return sorted(found, key=lambda one: (goodness(one.estimate.value, better), -len(one.seeds)))


def goodness(value: float, better: str) -> float:
    """The value, negated where higher is better: smaller is better."""
    return value if better == "low" else -value


def figure_value(run: Run, metric: str, part: Part) -> float:
    """The run's figure."""
    return float(run.parts[part][metric]["value"])


def better_way(runs: Sequence[Run], metric: str, part: Part) -> str:
    """Which way the figure is better, "low" or "high"."""
    return str(runs[0].parts[part][metric]["better"])
