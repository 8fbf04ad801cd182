"""TensorBoard's projector: embeddings with their identities and thumbnails, as plain files beside the event files."""

import io
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from siamese_lab.core.files import write_bytes, write_text
from siamese_lab.core.random import generator
from siamese_lab.plots.thumbnails import sprite_sheet, thumbnails
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.samples import Samples

POINTS = 2000  # with more the tab is slow
FEWEST = 20  # images of an identity that are shown even where there are many identities
CONFIG = "projector_config.pbtxt"


def write_projector(
    path: Path, seen: EmbeddedSet, samples: Samples, ids: Tensor, name: str = "test", points: int = POINTS
) -> None:
    """Writes `projector_config.pbtxt`, and a folder `projector` with embeddings, their labels and thumbnails.

    Args:
        path: the run folder.
        seen: the embeddings (N, D).
        samples: where the images are.
        ids: (N,) the sample behind each embedding.
        name: what the projector calls the set.
        points: at most this many are taken, whole identities as far as possible.
    """
    # here: TensorBoard takes long to import
    from PIL import Image
    from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo, ProjectorConfig

    rows = rows_to_show(seen.labels.cpu(), points)
    folder = path / "projector"
    folder.mkdir(exist_ok=True)
    _write(
        folder / "tensors.tsv",
        ([f"{x:.6g}" for x in row] for row in seen.z[rows.to(seen.z.device)].float().cpu().tolist()),
    )
    _write(folder / "metadata.tsv", metadata(seen, samples, ids, rows))
    images = thumbnails(samples.gather(ids[rows]))
    picture = io.BytesIO()
    Image.fromarray(sprite_sheet(images).permute(1, 2, 0).numpy()).save(picture, "PNG")
    write_bytes(folder / "sprite.png", picture.getvalue())
    # two descriptions, since TensorBoard takes no files from outside of the folder that one lies in: for `tensorboard
    # --logdir` of the run's folder, and for `siamese-lab board`, which links to the folder of the files
    for place, prefix in ((path, "projector/"), (folder, "")):
        info = EmbeddingInfo(
            tensor_name=name, tensor_path=f"{prefix}tensors.tsv", metadata_path=f"{prefix}metadata.tsv"
        )
        info.tensor_shape.extend([len(rows), seen.z.shape[1]])
        info.sprite.image_path = f"{prefix}sprite.png"
        info.sprite.single_image_dim.extend([images.shape[3], images.shape[2]])  # width, height
        write_text(place / CONFIG, str(ProjectorConfig(embeddings=[info])))


def rows_to_show(labels: Tensor, points: int = POINTS) -> Tensor:
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


def metadata(seen: EmbeddedSet, samples: Samples, ids: Tensor, rows: Tensor) -> list[list[str]]:
    """One line a point: its identity, groups and file; the first line names the columns, if there are several."""
    labels = seen.labels.cpu()[rows].tolist()
    columns = {"identity": [seen.classes[label] for label in labels]}
    for group, (codes, names) in seen.groups.items():
        columns[group] = [names[code] for code in codes.cpu()[rows].tolist()]
    if samples.files:
        columns["file"] = [samples.files[row] for row in samples.row[ids[rows]].tolist()]
    # neither tabs nor line ends in a word
    lines = [[" ".join(word.split()) or "-" for word in line] for line in zip(*columns.values(), strict=True)]
    return lines if len(columns) == 1 else [list(columns), *lines]


def _write(path: Path, lines: Iterable[list[str]]) -> None:
    write_text(path, "".join("\t".join(line) + "\n" for line in lines))
