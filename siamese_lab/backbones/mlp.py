from collections import OrderedDict
from itertools import pairwise
from math import prod

from torch import nn

from siamese_lab.backbones._head import Head


class MLP(nn.Sequential):
    """Fully connected layers with ReLU and a linear head, on flattened images or on vectors.

    Args:
        shape: of one input, given by the data.
        hidden: units of each hidden layer, each >= 1.
        dim: dimensions of an embedding, >= 1.
        normalise: put embeddings on the unit sphere.

    Raises:
        ValueError: if a hidden layer or dim is not positive.

    Examples:
        >>> import torch
        >>> from siamese_lab.backbones.mlp import MLP
        >>> backbone = MLP(shape=(1, 8, 8), hidden=[32], dim=16)
        >>> backbone(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 16])
        >>> sum(weight.numel() for weight in backbone.parameters())
        2608
    """

    def __init__(
        self, *, shape: tuple[int, ...], hidden: list[int] | None = None, dim: int = 64, normalise: bool = True
    ) -> None:
        widths = [prod(shape), *(hidden if hidden is not None else [512, 512])]
        if not all(width > 0 for width in widths):
            raise ValueError(f"hidden must hold numbers > 0, got {hidden}: they are the units of the hidden layers")
        layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
        super().__init__(OrderedDict(trunk=nn.Sequential(nn.Flatten(), *layers), head=Head(widths[-1], dim, normalise)))
        self.dim, self.normalise = dim, normalise
