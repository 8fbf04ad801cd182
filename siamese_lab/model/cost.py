"""What a network costs: parameters, and multiply-adds of one image."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(*parts: nn.Module) -> int:
    """How many parameters these modules have."""
    return sum(p.numel() for part in parts for p in part.parameters())


def multiply_adds(backbone: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-adds of one image (C, H, W) through the backbone: convolutions and matrix products."""
    training = [part for part in backbone.modules() if part.training]  # a frozen part may be in eval mode
    weight = next(backbone.parameters(), torch.zeros(()))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        backbone.eval()(torch.zeros(1, *shape, device=weight.device, dtype=weight.dtype))
    for part in training:
        part.training = True
    return int(counter.get_total_flops()) // 2
