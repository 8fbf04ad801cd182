from collections import OrderedDict
from itertools import pairwise

from torch import nn

from siamese_lab.backbones._head import Head, count_features
from siamese_lab.core.checks import require_positive


class Conv4(nn.Sequential):
    """Four blocks of convolution 3x3, batch normalisation, maximum over 2x2, ReLU; then a linear head.

    The paper has ReLU before the maximum; the result is the same, computed on a quarter of the values.

    Source: Vinyals et al., NeurIPS 2016, section 4.1; Snell et al., NeurIPS 2017, section 3.1; here with a linear head.

    Args:
        shape: (C, H, W) of the images, given by the data; H and W at least 16.
        width: channels of each convolution, >= 1.
        dim: dimensions of an embedding, >= 1.
        normalise: put embeddings on the unit sphere.

    Raises:
        ValueError: if width or dim is not positive, or the images are smaller than 16 pixels.

    Examples:
        >>> import torch
        >>> from siamese_lab.backbones.conv4 import Conv4
        >>> backbone = Conv4(shape=(1, 28, 28), width=32, dim=64)
        >>> backbone(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 64])
        >>> sum(weight.numel() for weight in backbone.parameters())
        30304
    """

    def __init__(self, *, shape: tuple[int, ...], width: int = 64, dim: int = 64, normalise: bool = True) -> None:
        require_positive("width", width, "it is the number of channels of each convolution")
        channels = [shape[0], width, width, width, width]
        trunk = nn.Sequential(*(conv_block(a, b) for a, b in pairwise(channels)), nn.Flatten())
        head = Head(count_features(trunk, shape), dim, normalise)
        super().__init__(OrderedDict(trunk=trunk, head=head))
        self.dim, self.normalise = dim, normalise


def conv_block(inputs: int, outputs: int) -> nn.Sequential:
    """Convolution, batch normalisation, maximum, ReLU: halves height and width."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),  # batch normalisation has a bias of its own
        nn.BatchNorm2d(outputs),
        nn.MaxPool2d(2),
        nn.ReLU(inplace=True),
    )
