"""The result of a comparison: configurations with means over seeds, paired differences, and Pareto fronts of costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from siamese_lab.core.text import printable
from siamese_lab.runs.schema import FigureRecord
from siamese_lab.runs.seal import Opening
from siamese_lab.statistics.estimates import Estimate

FEW = 5
"""Configurations up to which every pair is shown; of more, each with the best."""

LEVEL = 0.05
COSTS = {"seconds": "training seconds", "parameters": "parameters", "multiply_adds": "multiply-adds of an image"}

Part = Literal["val", "test"]


@dataclass(frozen=True, eq=False)
class Run:
    """One run as its folder tells it.

    Args:
        path: its folder.
        state: see `runs.states`; also "queued", "superseded", "unplanned", "broken".
        why: why it does not count; "" for one that does.
        seed: as text.
        point: {axis: value as the user would write it}, without the seed.
        config: {key with dots: value as text}, all of its resolved config.
        code: hash of the code that trained it.
        data: fingerprint of its data.
        decided: what start-up settled: precision, layout, ...
        headlines: names of its protocols' first figures; checkpoints were chosen by the first.
        parts: {"val" or "test": {"<protocol>/<figure>": FigureRecord}}.
        sealed: whether its test figures are still unknown.
        cost: {"seconds", "parameters", "multiply_adds"}, those that are known.
        influence: {identity: influence} of the figure that is compared.
    """

    path: Path
    state: str
    why: str = ""
    seed: str = ""
    point: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    data: str = ""
    decided: Mapping[str, object] = field(default_factory=dict)
    headlines: Sequence[str] = ()
    parts: Mapping[str, Mapping[str, FigureRecord]] = field(default_factory=dict)
    sealed: bool = False
    cost: Mapping[str, float] = field(default_factory=dict)
    influence: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Study and run id, which every command takes."""
        return printable(f"{self.path.parent.name}/{self.path.name}")


@dataclass(frozen=True, eq=False)
class Configuration:
    """Runs that are equal but for the seed; with `--by`, one level of those axes, averaged over the other axes.

    Args:
        point: {axis: value}.
        seeds: S seeds, in their order.
        values: S figures, in the metric's unit.
        influences: S mappings {identity: influence}.
        estimate: the mean over the seeds.
        cost: means of what is known, over the same runs.
        runs: all that stand behind it.
    """

    point: Mapping[str, str]
    seeds: Sequence[str]
    values: Sequence[float]
    influences: Sequence[Mapping[str, float]]
    estimate: Estimate
    cost: Mapping[str, float]
    runs: Sequence[Run]

    @property
    def name(self) -> str:
        """Its values, as the user would write them."""
        return " ".join(f"{key}={value}" for key, value in self.point.items()) or "the configuration"

    @property
    def short(self) -> str:
        """Its values for a plot or a narrow table: words alone, numbers with the last part of their key."""
        parts = [text if by_size(text)[0] else f"{key.rpartition('.')[2]} {text}" for key, text in self.point.items()]
        return " · ".join(parts) or "all runs"


@dataclass(frozen=True, eq=False)
class Contrast:
    """Two configurations, paired seed by seed and identity by identity.

    Args:
        left, right: `left` is the better one of the two in these runs.
        seeds: that both have: the pairs.
        gain: how much better `left` is, in the metric's unit, >= 0, adjusted for every pair of configurations; None
            where they share no seed.
        other_identities: whether the two were evaluated on other identities, and are paired by seed alone.
        dropped_seeds: that only one of the two has.
    """

    left: Configuration
    right: Configuration
    seeds: Sequence[str]
    gain: Estimate | None
    other_identities: bool = False
    dropped_seeds: Sequence[str] = ()

    @property
    def adjusted(self) -> float | None:
        """The p value adjusted for every pair of configurations; None where there is none."""
        return self.gain.adjusted_p if self.gain else None

    @property
    def shown(self) -> bool:
        """Whether the difference is shown: the adjusted p value is below 0.05."""
        return self.adjusted is not None and self.adjusted < LEVEL


@dataclass(frozen=True, eq=False)
class Comparison:
    """The comparison that is printed, written and drawn.

    Args:
        title: what is compared.
        metric: "<protocol>/<figure>".
        unit, better: of the metric, as in `influence.Figure`.
        part: of the data that was evaluated.
        axes: keys of the configurations' points.
        by: the keys of `--by`; empty where every configuration stands for itself.
        configurations: the best first.
        contrasts: each pair of up to 5 configurations; of more, each with the best.
        fronts: {cost: the configurations that no other one beats in both}, the cheapest first.
        notes: remarks on how the comparison was made.
        left_out: runs that do not count, each with its reason.
        openings: of the test part so far, oldest first.
        choices: every configuration, also where `by` averages over some of them.
    """

    title: str
    metric: str
    unit: str
    better: str
    part: Part
    axes: Sequence[str]
    by: Sequence[str]
    configurations: Sequence[Configuration]
    contrasts: Sequence[Contrast]
    fronts: Mapping[str, Sequence[Configuration]]
    notes: Sequence[str] = ()
    left_out: Sequence[Run] = ()
    openings: Sequence[Opening] = ()
    choices: Sequence[Configuration] = ()

    @property
    def against_best(self) -> bool:
        """Whether the contrasts are those with the best one only."""
        return len(self.configurations) > FEW

    @property
    def runs(self) -> list[Run]:
        """All runs that count, in the order of the configurations."""
        return [run for one in self.configurations for run in one.runs]


def by_size(text: str) -> tuple[int, float, str]:
    """A key that sorts numbers by size, before and apart from words."""
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)
