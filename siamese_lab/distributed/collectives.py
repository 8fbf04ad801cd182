"""Collective operations of the processes that train one run; with a single process each returns its input.

Every process draws the same global batch, embeds its slice of it, and computes the whole batch's loss from the
embeddings of all. Whatever decides something (a mined table, a validation figure) is taken from the first process.
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
from torch.autograd.function import FunctionCtx

from siamese_lab.core.errors import LabError

TIMEOUT = timedelta(days=7)  # ranks.py notices a process that ends; a slow one may take its time
LOOPBACK = "lo"


def world() -> int:
    """The number of processes that train this run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The rank of this process, from 0. Only rank 0 writes files."""
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
    return _AllGather.apply(z) if world() > 1 else z


def all_reduce_sum(x: Tensor) -> Tensor:
    """The sum of x over the processes, as torch.distributed.all_reduce; the gradient is summed over them likewise."""
    return _AllReduceSum.apply(x) if world() > 1 else x


def average_gradients(module: nn.Module) -> None:
    """Makes every gradient the mean over the processes.

    All at once, after the backward pass: numbers are then added in the same order at every step and after every resume,
    and a parameter without a gradient (a distance's, in a batch without a valid tuple) keeps none.
    DistributedDataParallel changes its order after the first step, and waits for gradients that never come.
    """
    if world() == 1:
        return
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world()
    for gradient, mean in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def broadcast(x: Tensor) -> Tensor:
    """The first process's x, in place; it has the same shape in all processes."""
    if world() > 1:
        dist.broadcast(x, 0)
    return x


def all_reduce_max(number: int) -> int:
    """The largest of the numbers of the processes, as torch.distributed.all_reduce with ReduceOp.MAX."""
    if world() == 1:
        return number
    largest = torch.tensor(number)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def broadcast_buffers(module: nn.Module) -> None:
    """Gives every process the first one's buffers, since batch statistics differ between the processes."""
    if world() > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, 0)


class _AllGather(torch.autograd.Function):
    """torch.distributed.nn.functional.all_gather, which torch has deprecated."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        all_ = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
        dist.all_gather(all_, x.contiguous())
        return torch.cat(all_)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        return _sum(gradient)[share(len(gradient))]


class _AllReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        return _sum(x)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        return _sum(gradient)


def _sum(x: Tensor) -> Tensor:
    x = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(x)
    return x


@contextmanager
def process_group(meeting: Path, number: int, processes: int, gpu: bool, threads: int) -> Iterator[None]:
    """Context in which this process belongs to a process group.

    Args:
        meeting: file through which the processes find each other; on this machine.
        number: rank of this process.
        processes: the world size.
        gpu: each has a GPU of its own, the one of its number.
        threads: torch threads of this process.
    """
    before, interface = torch.get_num_threads(), os.environ.get("GLOO_SOCKET_IFNAME")
    if interface is None and LOOPBACK in (name for _, name in socket.if_nameindex()):
        os.environ["GLOO_SOCKET_IFNAME"] = LOOPBACK  # gloo would look up the machine's name, which may fail
    if gpu:
        torch.cuda.set_device(number)
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    dist.init_process_group(
        backend, store=dist.FileStore(str(meeting), processes), rank=number, world_size=processes, timeout=TIMEOUT
    )
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        dist.destroy_process_group()
        if interface is None:
            os.environ.pop("GLOO_SOCKET_IFNAME", None)
