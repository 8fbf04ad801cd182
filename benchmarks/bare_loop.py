"""The least that trains conv4 with the supervised contrastive loss: what the lab's own loop is measured against.

Written by hand, without a line of the package and without Lightning, to do the same work as `siamese-lab train`: 64
classes x 4 images drawn from decoded images in memory, one affine map for each image, convolution - normalisation -
maximum - rectifier four times, the same allocator settings, memory layout, precision, loss over all tuples of the
batch, clipping, AdamW and schedule.

    python benchmarks/bare_loop.py images.npz --steps 200 --precision float32
"""

import argparse
import ctypes
import json
import math
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

CLASSES, PER_CLASS, WIDTH, DIM, TEMPERATURE = 64, 4, 64, 64, 0.1
WARM = 5  # first steps, which do not count


def keep_memory():
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL("libc.so.6")
        # mmap max, trim threshold, top pad, arena max
        for name, value in (
            (-4, 0),
            (-1, 2**31 - 1),
            (-2, 64 << 20),
            (-8, 1),
        ):
            libc.mallopt(name, value)


def network(channels, side):
    layers = []
    for inputs in (channels, WIDTH, WIDTH, WIDTH):
        layers += [
            nn.Conv2d(inputs, WIDTH, 3, padding=1, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(WIDTH * (side // 16) ** 2, DIM))


def draw(labels, steps):
    order, counts = labels.argsort(stable=True), labels.bincount()
    starts, places = counts.cumsum(0) - counts, torch.arange(int(counts.max()))
    for _ in range(steps):
        classes = torch.randperm(len(counts))[:CLASSES]
        chance = torch.rand(CLASSES, len(places)).masked_fill(places >= counts[classes, None], 2.0)
        yield order[(starts[classes, None] + chance.argsort(1)[:, :PER_CLASS]).flatten()]


def affine(x):
    n = len(x)
    on = (torch.rand(n, 4) < 0.5).float()
    u = (torch.rand(n, 7) * 2 - 1) * on[:, [0, 1, 1, 2, 2, 3, 3]]
    a, one = u[:, 0] * math.radians(10), torch.ones(n)
    turn = torch.stack([a.cos(), -a.sin(), a.sin(), a.cos()], 1).view(n, 2, 2)
    shear = torch.stack([one, 0.3 * u[:, 1], 0.3 * u[:, 2], one], 1).view(n, 2, 2)
    scale = torch.diag_embed(1 / (1 + 0.2 * u[:, 3:5]))
    grid = F.affine_grid(
        torch.cat([turn @ shear @ scale, 0.04 * u[:, 5:, None]], 2), list(x.shape), align_corners=False
    )
    return F.grid_sample(x, grid, align_corners=False)


def supcon(z, labels):
    z = F.normalize(z.float())
    logits = (z @ z.T / TEMPERATURE).fill_diagonal_(-torch.inf)
    same = (labels[:, None] == labels).fill_diagonal_(False)
    share = (logits - logits.logsumexp(1, keepdim=True)).masked_fill(~same, 0.0)
    return -(share.sum(1) / same.sum(1)).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", help="npz with images, uint8 (N, C, H, W), and labels (N,)")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    args = parser.parse_args()
    keep_memory()
    torch.manual_seed(0)
    with np.load(args.data) as file:
        images, labels = torch.from_numpy(file["images"]), torch.from_numpy(file["labels"])
    model = network(images.shape[1], images.shape[2]).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
    rising = round(0.05 * args.steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda s: (
            (s + 1) / rising
            if s < rising
            else 0.5 * (1 + math.cos(math.pi * (s - rising) / max(1, args.steps - rising)))
        ),
    )
    ends, first = [], 0.0
    for step, rows in enumerate(draw(labels, args.steps)):
        x = affine(images[rows].to(memory_format=torch.channels_last).float().div_(255))
        with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bfloat16"):
            z = model(x)
        loss = supcon(z, labels[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        ends.append(time.perf_counter())
        first = first if step else loss.item()
    rate = CLASSES * PER_CLASS * (len(ends) - WARM) / (ends[-1] - ends[WARM - 1])
    print(
        json.dumps(
            {
                "images_per_second": rate,
                "first_loss": first,
                "last_loss": loss.item(),
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
