"""What the processes of one run tell each other; alone, a process is told what it says.

Every process draws the same global batch, embeds its slice of it, and computes the whole batch's loss from the
embeddings of all. Numbers that a decision hangs on (a table, a validation figure) are taken from the first process, so
that all decide alike.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from siamese_lab.core.errors import LabError

# a process that is gone is noticed by ranks.py, one that takes long is no reason to end a run
PATIENCE = timedelta(days=7)
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


def all_gather(z: Tensor) -> Tensor:
    """The rows of all processes, (B, D) of this one's (B / processes, D), with their gradients.

    The loss over them is the same in every process. The gradient of each slice is summed over the processes here, that
    of each parameter is averaged over them afterwards: together this is the gradient of that one loss.
    """
    return _Gathered.apply(z) if world() > 1 else z


def all_sum(x: Tensor) -> Tensor:
    """The sum of every process's x; so is its gradient."""
    return _Summed.apply(x) if world() > 1 else x


def average_gradients(module: nn.Module) -> None:
    """Makes every gradient the mean over the processes.

    All at once, after the backward pass: the same numbers are then added in the same order at every step and after
    every resume, and a parameter without a gradient (a distance's, in a batch without a valid tuple) keeps none.
    DistributedDataParallel adds them in an order that changes after the first step, and waits for those that do not
    come.
    """
    if world() == 1:
        return
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world()
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def broadcast(x: Tensor) -> Tensor:
    """The first process's x, in place; all have one of the same shape."""
    if world() > 1:
        dist.broadcast(x, 0)
    return x


def all_max(number: int) -> int:
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


class _Gathered(torch.autograd.Function):
    """torch has one of its own, deprecated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        all_ = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
        dist.all_gather(all_, x.contiguous())
        return torch.cat(all_)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient[share(len(gradient))]


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient


@contextmanager
def process_group(meeting: Path, number: int, processes: int, gpu: bool, threads: int) -> Iterator[None]:
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
        os.environ["GLOO_SOCKET_IFNAME"] = (
            LOOPBACK  # gloo would look for the machine's own name, which need not be in any register
        )
    if gpu:
        torch.cuda.set_device(number)
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    dist.init_process_group(
        backend, store=dist.FileStore(str(meeting), processes), rank=number, world_size=processes, timeout=PATIENCE
    )
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        dist.destroy_process_group()
        if interface is None:
            os.environ.pop("GLOO_SOCKET_IFNAME", None)
