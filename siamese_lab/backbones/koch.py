from collections import OrderedDict

from torch import nn

SIZE = (1, 105, 105)


class Koch(nn.Sequential):
    """The convolutional network of Koch et al.: 38,947,648 parameters, 4,096 sigmoid outputs, not normalised.

    With `distance=weighted_l1` (4,096 weights) and `loss=bce` (1 bias) it is the whole model of the paper: 38,951,745
    parameters.

    Source: Koch, Zemel, Salakhutdinov, ICML deep learning workshop 2015, figure 4 and section 3.2 (starting weights:
    convolutions N(0, 0.01), fully connected N(0, 0.2), biases N(0.5, 0.01); these are standard deviations).

    Args:
        shape: (C, H, W) of the images, given by the data; must be (1, 105, 105).

    Raises:
        ValueError: for any other shape.

    Examples:
        >>> import torch
        >>> from siamese_lab.backbones.koch import Koch
        >>> backbone = Koch(shape=(1, 105, 105))
        >>> backbone(torch.zeros(1, 1, 105, 105)).shape
        torch.Size([1, 4096])
        >>> sum(weight.numel() for weight in backbone.parameters())
        38947648
    """

    dim = 4096
    normalise = False

    def __init__(self, *, shape: tuple[int, ...]) -> None:
        if tuple(shape) != SIZE:
            raise ValueError(
                f"this network needs images of 1x105x105, got {'x'.join(map(str, shape))}: e.g. data=omniglot "
                "data.size=105, or data=folder data.size=105 data.channels=1"
            )
        trunk = nn.Sequential(
            nn.Conv2d(1, 64, 10),  # -> (64, 96, 96)
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
            nn.Conv2d(64, 128, 7),  # -> (128, 42, 42)
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, 128, 4),  # -> (128, 18, 18)
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, 256, 4),  # -> (256, 6, 6)
            nn.ReLU(inplace=True),
            nn.Flatten(),  # -> (9216,)
        )
        head = nn.Sequential(nn.Linear(9216, self.dim), nn.Sigmoid())
        super().__init__(OrderedDict(trunk=trunk, head=head))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.normal_(layer.weight, 0.0, 0.01 if isinstance(layer, nn.Conv2d) else 0.2)
                if layer.bias is not None:
                    nn.init.normal_(layer.bias, 0.5, 0.01)
