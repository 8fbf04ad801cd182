"""Batches gathered from the decoded images by one indexing each, without collating."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from torch import Tensor

from siamese_lab.distributed import collectives
from siamese_lab.structures.batch import Batch, DrawnBatch
from siamese_lab.structures.contracts import Sampling
from siamese_lab.structures.samples import Samples

AHEAD = 2  # batches that each worker gathers in advance


class BatchLoader:
    """The train loader that Lightning iterates: the sampling's batches, gathered whole.

    Nothing is drawn before the first `next`, so a callback can still set the epoch and the mined table when an epoch
    starts. A batch is a function of epoch, step and table, whatever the workers and wherever a resumed epoch begins.

    Args:
        samples: the data set.
        ids: (n,) samples of the training part; a sampling speaks of positions in it.
        labels: (n,) labels of these, 0..C-1.
        sampling: draws the batches.
        workers: threads that gather batches ahead; 0 = each batch when it is asked for, which is best for data in
            memory.
    """

    def __init__(self, samples: Samples, ids: Tensor, labels: Tensor, sampling: Sampling, workers: int = 0) -> None:
        self.samples, self.ids, self.labels, self.sampling, self.workers = samples, ids, labels, sampling, workers
        self.epoch = 0
        self.start = 0  # batches of the epoch done before a resume
        self.table: Tensor | None = None

    def __len__(self) -> int:
        return len(self.sampling)

    def __iter__(self) -> Iterator[Batch]:
        drawn = islice(enumerate(self.sampling.batches(self.epoch, self.table)), self.start, None)
        if self.workers == 0:
            for step, batch in drawn:
                yield self._gather(self.epoch, step, batch)
            return
        pool = ThreadPoolExecutor(self.workers)
        try:
            ahead: deque[Future[Batch]] = deque()
            for step, batch in drawn:
                ahead.append(pool.submit(self._gather, self.epoch, step, batch))
                if len(ahead) > AHEAD * self.workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:  # an epoch may end early
            pool.shutdown(cancel_futures=True)

    def _gather(self, epoch: int, step: int, drawn: DrawnBatch) -> Batch:
        ids, mine = self.ids[drawn.ids], collectives.share(len(drawn.ids))
        return Batch(self.samples.gather(ids[mine]), ids, self.labels[drawn.ids], drawn.tuples, epoch, step, mine.start)
