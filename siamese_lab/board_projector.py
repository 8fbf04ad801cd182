"""TensorBoard's projector: embeddings with their identities and thumbnails, as plain files beside the event files."""

import io
import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_lab.batch import Samples
from siamese_lab.files import write_bytes, write_text
from siamese_lab.protocols.judged import Judged
from siamese_lab.seeds import generator

POINTS = 2000  # beyond, the tab crawls
FEWEST = 20  # images of an identity that are shown even where there are many identities
SIDE = 64  # pixels of a thumbnail at most
CONFIG = "projector_config.pbtxt"
SPRITE = 8192  # pixels a side that browsers take


def write(path: Path, seen: Judged, samples: Samples, ids: Tensor, name: str = "test", points: int = POINTS) -> None:
    """Writes `projector_config.pbtxt` and a folder `projector` with the embeddings, what is known of them and the thumbnails.

    Args:
        path: the run folder.
        seen: the embeddings (N, D).
        samples: where the images are.
        ids: (N,) the sample behind each embedding.
        name: what the projector calls the set.
        points: at most this many are taken, whole identities as far as possible.
    """
    from PIL import Image
    from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo, ProjectorConfig

    rows = chosen(seen.labels.cpu(), points)
    folder = path / "projector"
    folder.mkdir(exist_ok=True)
    _write(folder / "tensors.tsv", ([f"{x:.6g}" for x in row] for row in seen.z[rows.to(seen.z.device)].float().cpu().tolist()))
    _write(folder / "metadata.tsv", metadata(seen, samples, ids, rows))
    images = thumbnails(samples.gather(ids[rows]))
    picture = io.BytesIO()
    Image.fromarray(sprite(images).permute(1, 2, 0).numpy()).save(picture, "PNG")
    write_bytes(folder / "sprite.png", picture.getvalue())
    # two descriptions, since TensorBoard takes no files from outside of the folder that one lies in: for `tensorboard --logdir` of the
    # run's folder, and for `siamese-lab board`, which links to the folder of the files
    for place, prefix in ((path, "projector/"), (folder, "")):
        info = EmbeddingInfo(tensor_name=name, tensor_path=f"{prefix}tensors.tsv", metadata_path=f"{prefix}metadata.tsv")
        info.tensor_shape.extend([len(rows), seen.z.shape[1]])
        info.sprite.image_path = f"{prefix}sprite.png"
        info.sprite.single_image_dim.extend([images.shape[3], images.shape[2]])  # width, height
        write_text(place / CONFIG, str(ProjectorConfig(embeddings=[info])))


def chosen(labels: Tensor, points: int = POINTS) -> Tensor:
    """Rows (n,), ascending, n <= points: several images of some identities, rather than a single one of each.

    Args:
        labels: (N,) of the rows.
        points: at most this many rows.
    """
    if len(labels) <= points:
        return torch.arange(len(labels))
    _, codes = labels.unique(return_inverse=True)
    classes = int(codes.max()) + 1
    g = generator(0)
    turn = torch.randperm(classes, generator=g)[codes]  # when each row's identity is taken
    shuffled = torch.randperm(len(labels), generator=g)
    order = shuffled[turn[shuffled].argsort(stable=True)]
    first = torch.searchsorted(turn[order], torch.arange(classes))
    rank = torch.arange(len(order)) - first[turn[order]]  # of a row within its identity
    return order[rank < max(FEWEST, points // classes)][:points].sort().values


def metadata(seen: Judged, samples: Samples, ids: Tensor, rows: Tensor) -> list[list[str]]:
    """One line a point: its identity, its groups and its file; above them their names, unless there is only one column."""
    labels = seen.labels.cpu()[rows].tolist()
    columns = {"identity": [seen.classes[label] for label in labels]}
    for group, (codes, names) in seen.groups.items():
        columns[group] = [names[code] for code in codes.cpu()[rows].tolist()]
    if samples.files:
        columns["file"] = [samples.files[row] for row in samples.row[ids[rows]].tolist()]
    # neither tabs nor line ends in a word
    lines = [[" ".join(word.split()) or "-" for word in line] for line in zip(*columns.values(), strict=True)]
    return lines if len(columns) == 1 else [list(columns), *lines]


def thumbnails(images: Tensor) -> Tensor:
    """uint8 (n, 3, h, w), h and w at most 64, of uint8 images (n, C, H, W); what is not RGB shows its first channel in grey."""
    n, channels, height, width = images.shape
    x = images if channels == 3 else images[:, :1].expand(-1, 3, -1, -1)
    scale = min(1.0, side(n) / max(height, width))
    if scale == 1.0:
        return x
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    return F.interpolate(x.float(), size=size, mode="bilinear", antialias=True, align_corners=False).round().clamp(0, 255).byte()


def side(n: int) -> int:
    """Pixels of a thumbnail at most, so that a square of n of them is shown by every browser."""
    return min(SIDE, SPRITE // (math.isqrt(n - 1) + 1))


def sprite(images: Tensor) -> Tensor:
    """All thumbnails (n, 3, h, w) in one image (3, k h, k w), k = ceil(sqrt n), row by row, as the projector cuts it."""
    n, channels, height, width = images.shape
    k = math.isqrt(n - 1) + 1
    sheet = images.new_zeros(k * k, channels, height, width)
    sheet[:n] = images
    return sheet.view(k, k, channels, height, width).permute(2, 0, 3, 1, 4).reshape(channels, k * height, k * width)


def _write(path: Path, lines: Iterable[list[str]]) -> None:
    write_text(path, "".join("\t".join(line) + "\n" for line in lines))
