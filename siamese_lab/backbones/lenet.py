from collections import OrderedDict

from torch import nn

from siamese_lab.backbones._head import Head, count_features
from siamese_lab.core.checks import require_positive


class LeNet(nn.Sequential):
    """LeNet with ReLU: two convolutions 5x5 of 20 and 50 channels with maximum over 2x2, a hidden layer, a linear head.

    It has no batch normalisation.

    Source: LeCun et al., Proceedings of the IEEE 86(11), 1998, in the widths that are usual for siamese digits.

    Args:
        shape: (C, H, W) of the images, given by the data; H and W at least 16.
        hidden: units of the hidden layer, >= 1.
        dim: dimensions of an embedding, >= 1.
        normalise: put embeddings on the unit sphere.

    Raises:
        ValueError: if hidden or dim is not positive, or the images are smaller than 16 pixels.

    Examples:
        >>> import torch
        >>> from siamese_lab.backbones.lenet import LeNet
        >>> backbone = LeNet(shape=(1, 28, 28), dim=64)
        >>> backbone(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 64])
        >>> sum(weight.numel() for weight in backbone.parameters())
        458134
    """

    def __init__(self, *, shape: tuple[int, ...], hidden: int = 500, dim: int = 64, normalise: bool = True) -> None:
        require_positive("hidden", hidden, "it is the number of units of the hidden layer")
        first = [nn.Conv2d(shape[0], 20, 5), nn.MaxPool2d(2), nn.ReLU()]
        second = [nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.ReLU()]
        convolutions = [*first, *second]
        features = count_features(nn.Sequential(*convolutions, nn.Flatten()), shape)
        trunk = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(features, hidden), nn.ReLU())
        super().__init__(OrderedDict(trunk=trunk, head=Head(hidden, dim, normalise)))
        self.dim, self.normalise = dim, normalise
