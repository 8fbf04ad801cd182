"""The training data as a LightningDataModule."""

import pytorch_lightning as pl
from torch import Tensor

from siamese_lab.data.loader import BatchLoader
from siamese_lab.structures.contracts import Sampling
from siamese_lab.structures.samples import Samples


class SiameseData(pl.LightningDataModule):
    """The training part of a data set behind a sampling; the other parts are embedded whole by `evaluation`.

    Args:
        samples: the data set.
        ids: (n,) samples of the training part.
        labels: (n,) labels of these, 0..C-1.
        sampling: draws the batches.
        workers: threads that gather batches ahead.
    """

    def __init__(self, samples: Samples, ids: Tensor, labels: Tensor, sampling: Sampling, workers: int = 0) -> None:
        super().__init__()
        self.loader = BatchLoader(samples, ids, labels, sampling, workers)

    def train_dataloader(self) -> BatchLoader:
        """The one loader of the run."""
        return self.loader
