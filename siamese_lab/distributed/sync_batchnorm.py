"""Batch normalisation over the global batch, of which each process holds a slice."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from siamese_lab.distributed import collectives


def with_sync_batchnorm(module: nn.Module, gpu: bool) -> nn.Module:
    """`module` with every batch normalisation replaced; its parameters and buffers stay the same objects.

    Args:
        module: a backbone.
        gpu: whether it runs on GPUs, for which torch has a synchronised batch normalisation.
    """
    if gpu:
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            made = SyncBatchNorm(child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats)
            made._parameters, made._buffers, made.training = child._parameters, child._buffers, child.training
            setattr(module, name, made)
        else:
            with_sync_batchnorm(child, gpu)
    return module


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation with mean and variance over the slices of all processes, which must have one size."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalises x (b, C, ...): by the global batch's statistics in training, by the running ones in evaluation."""
        if not self.training or collectives.world() == 1:
            return super().forward(x)
        axes, shape = [axis for axis in range(x.dim()) if axis != 1], [1, -1] + [1] * (x.dim() - 2)
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        n = collectives.world() * x.numel() // x.shape[1]
        mean = collectives.all_reduce_sum(wide.sum(axes)) / n  # (C,)
        centred = wide - mean.view(shape)
        variance = collectives.all_reduce_sum(centred.square().sum(axes)) / n
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked += 1
                share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
                self.running_mean.lerp_(mean.to(self.running_mean), share)
                self.running_var.lerp_((variance * n / max(1, n - 1)).to(self.running_var), share)
        y = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch normalisation needs an input (b, C, ...), got {tuple(input.shape)}")
