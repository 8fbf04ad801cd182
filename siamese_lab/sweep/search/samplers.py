"""What draws the points of a search, and what stops its hopeless runs: Optuna's samplers and pruners by our names."""

import random
from importlib.util import find_spec
from typing import TYPE_CHECKING

from siamese_lab.core.errors import LabError
from siamese_lab.sweep.search.axes import Numbers
from siamese_lab.sweep.search.space import Space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


def refuse_space(sampler: str, space: Space) -> None:
    """Raises a LabError if a sampler cannot draw from a space."""
    if sampler != "cmaes":
        return
    words = [axis.key for axis in space.axes if not isinstance(axis, Numbers)]
    if words:
        raise LabError(
            f"search=cmaes moves a cloud of numbers, and {', '.join(words)} {'is' if len(words) == 1 else 'are'} "
            "chosen from a list: use search=tpe, or give one value and search once for each"
        )
    if len(space.axes) < 2:
        raise LabError(
            f"search=cmaes needs two axes or more, got {space.axes[0].key} alone: use search=tpe or search=gp"
        )


def build_sampler(name: str, seed: int, number: int, startup: int) -> "BaseSampler":
    """A sampler for one trial.

    It is built anew for each, from the seed and the trial's number: a search that goes on in another process would draw
    its first points again if its sampler began again with the seed.

    Args:
        name: "tpe", "random", "cmaes" or "gp".
        startup: trials drawn at random before anything is learnt from them.

    Raises:
        LabError: if the package cmaes is not installed, for "cmaes".
    """
    # here: Optuna takes long to import
    from optuna import samplers

    own = random.Random(f"{seed} {number}").getrandbits(31)
    if name == "random":
        return samplers.RandomSampler(seed=own)
    if name == "cmaes":
        if find_spec("cmaes") is None:
            hint = "pip install 'siamese-lab[search]'"
            raise LabError(f"search=cmaes needs the package cmaes, which is not installed: {hint}")
        return samplers.CmaEsSampler(seed=own, n_startup_trials=startup, warn_independent_sampling=False)
    if name == "gp":
        return samplers.GPSampler(seed=own, n_startup_trials=startup, deterministic_objective=False)
    return samplers.TPESampler(seed=own, n_startup_trials=startup, multivariate=True, group=True, constant_liar=True)


def build_pruner(name: str | None, after: int, startup: int) -> "BasePruner":
    """A pruner.

    Args:
        name: "median", "hyperband", or None = nothing is pruned.
        after: epochs that every run gets.
        startup: finished trials that "median" waits for.
    """
    # here: Optuna takes long to import
    from optuna import pruners

    if name == "median":
        return pruners.MedianPruner(n_startup_trials=startup, n_warmup_steps=after)
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=max(1, after), max_resource="auto", reduction_factor=3)
    return pruners.NopPruner()
