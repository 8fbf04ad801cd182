from dataclasses import replace

import torch
from torch import Tensor, nn

from siamese_lab.core.checks import require_at_least, require_positive
from siamese_lab.structures.embedded import Embedded


class XBM(nn.Module):
    """Cross-batch memory: the embeddings of the last batches as further rows that every anchor is compared with.

    Rows of the memory carry no gradient; once training has slowed down they are close to what the network would embed
    now. The oldest are overwritten. The checkpoint holds the memory and the place to write next.

    Source: Wang et al., CVPR 2020, algorithm 1. Differs from it: the batch enters after it was compared.

    Args:
        dim: dimensions of an embedding, given by the backbone.
        size: rows that are kept, >= 1.
        warmup: first steps without a memory, >= 0; until then embeddings move too fast to be worth keeping.

    Raises:
        ValueError: if size is not positive or warmup negative.

    Examples:
        >>> import torch
        >>> from siamese_lab.memory.xbm import XBM
        >>> from siamese_lab.structures.embedded import Embedded
        >>> memory = XBM(dim=2, size=8, warmup=1)
        >>> batch = Embedded(torch.eye(2), torch.tensor([0, 1]))
        >>> [len(memory(batch).z) for _ in range(5)]  # rows that the batch is compared with
        [2, 4, 6, 8, 10]
    """

    z: Tensor
    labels: Tensor
    ids: Tensor

    def __init__(self, *, dim: int, size: int = 1024, warmup: int = 100) -> None:
        super().__init__()
        require_positive("size", size, "it is how many rows the memory keeps")
        require_at_least("warmup", warmup, 0, "it is how many steps go by before the memory is used")
        self.warmup = warmup
        self.register_buffer("z", torch.zeros(size, dim))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.long))
        self.register_buffer("ids", torch.zeros(size, dtype=torch.long))
        self.steps = self.written = 0  # plain numbers: reading a tensor would wait for the device

    def forward(self, e: Embedded) -> Embedded:
        """The batch with the memory's rows behind its own; the batch then enters the memory, in training."""
        filled = min(self.written, len(self.z))
        seen = e
        if filled and self.steps >= self.warmup:
            seen = replace(
                e,
                z=torch.cat([e.z, self.z[:filled].to(e.z)]),
                labels=torch.cat([e.labels, self.labels[:filled]]),
                ids=torch.cat([e.rows(), self.ids[:filled]]),
                anchors=len(e.z),
            )
        if self.training:
            self._store(e)
        return seen

    def get_extra_state(self) -> Tensor:
        """For the checkpoint."""
        return torch.tensor([self.steps, self.written])

    def set_extra_state(self, state: Tensor) -> None:
        """From the checkpoint."""
        self.steps, self.written = map(int, state)

    @torch.no_grad()
    def _store(self, e: Embedded) -> None:
        size = len(self.z)
        new = torch.arange(max(0, len(e.z) - size), len(e.z), device=self.z.device)  # the last rows that fit
        place = (self.written + new) % size
        self.z[place] = e.z[new].detach().to(self.z)
        self.labels[place], self.ids[place] = e.labels[new], e.rows()[new]
        self.written, self.steps = self.written + len(e.z), self.steps + 1
