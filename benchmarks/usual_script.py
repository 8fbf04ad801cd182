"""Metric learning as it is usually put together: image files, transforms for each image, two worker processes, float32.

torchvision's ImageFolder and transforms, a DataLoader with 2 workers, and the sampler and the loss of
pytorch-metric-learning.

    python benchmarks/usual_script.py folder/ --steps 50
"""

import argparse
import json
import time

import torch
from pytorch_metric_learning.losses import SupConLoss
from pytorch_metric_learning.samplers import MPerClassSampler
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

BATCH, PER_CLASS, WIDTH, DIM = 256, 4, 64, 64
WARM = 5  # first steps, which do not count: the workers start


def block(inputs):
    return nn.Sequential(nn.Conv2d(inputs, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.MaxPool2d(2))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", help="one folder of PNG files for each class")
    parser.add_argument("--steps", type=int, default=50)
    args = parser.parse_args()
    torch.manual_seed(0)
    seen = transforms.Compose(
        [
            transforms.Grayscale(),
            transforms.Resize((28, 28)),
            transforms.RandomAffine(
                10, translate=(0.02, 0.02), scale=(0.8, 1.2), shear=(-17, 17, -17, 17)
            ),  # atan 0.3 = 17 degrees
            transforms.ToTensor(),
        ]
    )
    data = ImageFolder(args.folder, seen)
    sampler = MPerClassSampler(data.targets, PER_CLASS, batch_size=BATCH, length_before_new_iter=BATCH * args.steps)
    loader = DataLoader(data, BATCH, sampler=sampler, num_workers=2, drop_last=True)
    model = nn.Sequential(block(1), block(WIDTH), block(WIDTH), block(WIDTH), nn.Flatten(), nn.Linear(WIDTH, DIM))
    criterion = SupConLoss(temperature=0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
    ends, first = [], 0.0
    for step, (x, y) in enumerate(loader):
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ends.append(time.perf_counter())
        first = first if step else loss.item()
    rate = BATCH * (len(ends) - WARM) / (ends[-1] - ends[WARM - 1])
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
