"""What the processes of one run tell each other; alone, a process is told what it says.

Every process draws the same global batch, embeds its slice of it, and computes the whole batch's loss from the embeddings of all. Numbers
that a decision hangs on (a table, a validation figure) are taken from the first process, so that all decide alike.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, nn
from torch import distributed as dist

from siamese_lab.errors import LabError

PATIENCE = timedelta(days=7)  # a process that is gone is noticed by ranks.py, one that takes long is no reason to end a run
LOOPBACK = "lo"


def world() -> int:
    """How many processes train this run together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is, from 0; the first one alone writes."""
    return dist.get_rank() if world() > 1 else 0


def share(n: int) -> slice:
    """This process's rows of a global batch of n.

    Raises:
        LabError: if n does not divide by the processes.
    """
    if n % world():
        raise LabError(f"a batch of {n} images cannot be shared by {world()} processes: trainer.devices must divide it")
    each = n // world()
    return slice(rank() * each, (rank() + 1) * each)


def gathered(z: Tensor) -> Tensor:
    """The rows of all processes, (B, D) of this one's (B / processes, D), with their gradients.

    The loss over them is the same in every process; the gradient of each slice is summed over the processes here and averaged by
    DistributedDataParallel afterwards, which gives the gradient of that one loss.
    """
    if world() == 1:
        return z
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(z.contiguous()))


def summed(x: Tensor) -> Tensor:
    """The sum of every process's x, in place, without gradient."""
    if world() > 1:
        dist.all_reduce(x)
    return x


def from_first(x: Tensor) -> Tensor:
    """The first process's x, in place; all have one of the same shape."""
    if world() > 1:
        dist.broadcast(x, 0)
    return x


def largest(number: int) -> int:
    """The largest of the processes' numbers."""
    if world() == 1:
        return number
    told = torch.tensor(number)
    dist.all_reduce(told, dist.ReduceOp.MAX)
    return int(told)


def align(module: nn.Module) -> None:
    """Gives every process the first one's buffers: batch statistics are of each one's own slices of the batches."""
    if world() > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, 0)


@contextmanager
def joined(meeting: Path, number: int, processes: int, gpu: bool, threads: int) -> Iterator[None]:
    """Within it, this process is one of several.

    Args:
        meeting: a file through which they find each other, on this machine.
        number: of this one.
        processes: how many there are.
        gpu: each has a GPU of its own, the one of its number.
        threads: of this process.
    """
    before, interface = torch.get_num_threads(), os.environ.get("GLOO_SOCKET_IFNAME")
    if interface is None and LOOPBACK in (name for _, name in socket.if_nameindex()):
        os.environ["GLOO_SOCKET_IFNAME"] = LOOPBACK  # gloo would look for the machine's own name, which need not be in any register
    if gpu:
        torch.cuda.set_device(number)
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    dist.init_process_group(backend, store=dist.FileStore(str(meeting), processes), rank=number, world_size=processes, timeout=PATIENCE)
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        dist.destroy_process_group()
        if interface is None:
            os.environ.pop("GLOO_SOCKET_IFNAME", None)
