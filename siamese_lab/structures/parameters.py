"""The parameters of an augmentation, one entry an image, by rows."""

from collections.abc import Mapping

from torch import Tensor

Parameters = Mapping[str, Tensor]
"""By name, each (n, ...) for n images; empty where nothing is drawn."""


def take_rows(parameters: Parameters, rows: slice) -> dict[str, Tensor]:
    """The parameters of some of the images, e.g. of those that one of several processes augments."""
    return {name: values[rows] for name, values in parameters.items()}


def repeat_row(parameters: Parameters, row: int, n: int) -> dict[str, Tensor]:
    """One image's parameters for each of n images."""
    return {name: values[row].expand(n, *values.shape[1:]) for name, values in parameters.items()}
