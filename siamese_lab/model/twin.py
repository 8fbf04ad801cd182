"""The twin encoder: one backbone that embeds both images of a pair, and the distance that compares them. Pure torch."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_lab.augment.none import Unchanged
from siamese_lab.structures.contracts import Augmentation, Distance
from siamese_lab.structures.parameters import repeat_row


class Twin(nn.Module):
    """Embeds images with one backbone and compares the embeddings with one distance.

    This is all of a trained run that verification, retrieval or a gallery needs. Training wraps it in a
    `SiameseModule`, which adds a miner, a memory and a loss.

    Args:
        backbone: images (B, C, H, W) in [0, 1] -> embeddings (B, D); its attribute `dim` is D.
        distance: embeddings (B, D) and (B, D) -> distances (B,) by `pairwise`; smaller = more alike.
        augment: draws the views of an image; training augments with it too.
        views: an embedding is the mean over that many views of the image, >= 1; 1 = the image alone.
        channels_last: memory layout of the images and convolutions.

    Raises:
        ValueError: if views is not positive, or above 1 with a backbone that does not state whether it normalises.

    Example:
        >>> from siamese_lab.backbones.lenet import LeNet
        >>> from siamese_lab.distances.euclidean import Euclidean
        >>> twin = Twin(LeNet(shape=(1, 28, 28), dim=32), Euclidean())
        >>> left, right = torch.rand(4, 1, 28, 28), torch.rand(4, 1, 28, 28)
        >>> twin(left, right).shape
        torch.Size([4])
        >>> twin.embed(left).shape
        torch.Size([4, 32])
    """

    distance: Distance

    def __init__(
        self,
        backbone: nn.Module,
        distance: Distance,
        augment: Augmentation | None = None,
        *,
        views: int = 1,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        if not views > 0:
            raise ValueError(f"evaluation.views must be > 0, got {views}: an embedding is the mean over as many views")
        if views > 1 and not hasattr(backbone, "normalise"):
            raise ValueError(
                "the mean over several views needs to know whether the backbone puts embeddings on the unit sphere: "
                "give it the attribute `normalise`, true or false"
            )
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.backbone, self.distance = backbone.to(memory_format=self.layout), distance
        self.augment: Augmentation = augment if augment is not None else Unchanged()
        self.views = views

    @property
    def dim(self) -> int:
        """D, the dimensions of an embedding."""
        return int(self.backbone.dim)  # type: ignore[arg-type]

    @property
    def device(self) -> torch.device:
        """Where the weights lie; the CPU for a backbone without weights."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights; float32 for a backbone without weights."""
        return next((p.dtype for p in self.parameters()), torch.float32)

    def prepare(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W), uint8 or floats in [0, 1], as floats in the twin's memory layout and precision."""
        prepared = x.to(self.dtype, memory_format=self.layout)
        return prepared.div_(255.0) if x.dtype == torch.uint8 else prepared

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Distances (B,) between the images `left` and `right`, each (B, C, H, W), with gradient.

        Follows the module's mode and ignores `views`: it is for training by hand. To use a trained twin, compare what
        `embed` returns.
        """
        a, b = self.backbone(self.prepare(left)), self.backbone(self.prepare(right))  # (B, D) each
        return self.distance.pairwise(a, b)

    @torch.no_grad()
    def embed(self, x: Tensor) -> Tensor:
        """Embeddings (B, D) as evaluation sees them: eval mode, no autocast, the mean over `views` fixed views.

        Modes, buffers and random generators are as before afterwards.

        Args:
            x: images (B, C, H, W), uint8 or floats in [0, 1], on the twin's device.
        """
        training = [part for part in self.backbone.modules() if part.training]  # a frozen part may be in eval mode
        self.backbone.eval()
        try:
            with torch.autocast(x.device.type, enabled=False):
                x = self.prepare(x)
                z: Tensor = self.backbone(x)
                views = self.augment.views(self.views)
                for view in range(1, self.views):  # the first one changes nothing
                    z = z + self.backbone(self.augment.apply(x, repeat_row(views, view, len(x))))
        finally:
            for part in training:
                part.training = True
        if self.views == 1:
            return z
        return F.normalize(z, dim=1) if self.backbone.normalise else z / self.views
