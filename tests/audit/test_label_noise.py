"""The audit of the mining ledger, on a wrong label and a copy planted among a few points, and their pictures."""

import csv
from dataclasses import replace

import torch

from siamese_lab.audit import label_noise
from siamese_lab.audit.csv_files import write_audit
from siamese_lab.audit.plots import draw_duplicates, draw_suspects
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.plots._style import pixels
from siamese_lab.structures.samples import TRAIN, Samples


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def planted(files=()):
    """Three classes of four images around (0, 0), (10, 0) and (0, 10); image 3 lies among the second class, 11 is a
    copy of 0.
    """
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat_interleave(4)
    z = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])[labels] + torch.randn(12, 2, generator=g)
    images = torch.randint(0, 256, (12, 1, 8, 8), generator=g, dtype=torch.uint8)
    z[3], z[11], images[11] = torch.tensor([10.0, 0.1]), z[0], images[0]
    names = ("plain", "=1+1", "$x_1$ \n漢")
    samples = Samples(
        images,
        torch.arange(12),
        torch.zeros(12, dtype=torch.int64),
        labels,
        names,
        {},
        torch.full((12,), TRAIN),
        "label",
        "f",
        files=files,
    )
    return z, samples


def test_lists_by_hand(tmp_path):
    z, samples = planted(tuple(f"@{i}\n.png" for i in range(12)))
    ids = torch.arange(12)
    negatives = torch.full((12,), -1.0, dtype=torch.float64)
    negatives[:4] = torch.tensor([0.1, 0.0, 0.0, 0.5])
    audit = label_noise.audit_labels(z, samples, ids, samples.labels, Euclidean(), negatives)
    write_audit(tmp_path, audit, torch.zeros(12, 3, dtype=torch.int32))
    first, second, *rest = read(tmp_path / "ledger.csv")
    assert len(rest) == 10
    # each of the two lies in the middle of one of the two other classes
    assert (first["image"], first["class"], first["resembles"]) == ("'@3\\n.png", "plain", "'=1+1")
    assert (first["suspicion_percent"], first["negatives_nearer_percent"], first["classes_nearer_percent"]) == (
        "50.0",
        "50.0",
        "50.0",
    )
    assert (second["image"], second["resembles"], second["nearest_image"], second["nearest_distance"]) == (
        "'@11\\n.png",
        "plain",
        "'@0\\n.png",
        "0.0",
    )
    assert (second["negatives_nearer_percent"], second["classes_nearer_percent"]) == ("", "50.0")
    (pair,) = read(tmp_path / "ledger_duplicates.csv")
    assert (pair["image"], pair["other_image"], pair["same_class"]) == ("'@0\\n.png", "'@11\\n.png", "no")
    assert (pair["distance_percent"], pair["grey_levels_apart"]) == ("0.0", "0.0")


def test_pictures_take_any_name():
    z, samples = planted()
    audit = label_noise.audit_labels(z, samples, torch.arange(12), samples.labels, Euclidean(), torch.zeros(12))
    for picture in (draw_suspects(audit, 5), draw_duplicates(audit, 5)):
        assert pixels(picture).std() > 10
    assert (
        draw_duplicates(
            replace(audit, duplicates=label_noise.DuplicatePairs(*(column[:0] for column in audit.duplicates))), 5
        )
        is None
    )


def test_a_turned_copy_of_an_image_is_no_duplicate_of_it():
    z, samples = planted()
    samples = replace(samples, row=torch.tensor([*range(11), 0]), turn=torch.tensor([0] * 11 + [1]))
    audit = label_noise.audit_labels(z, samples, torch.arange(12), samples.labels, Euclidean(), torch.zeros(12))
    assert not len(audit.duplicates.left)
    assert audit.file_and_class(11) == ("11@90", r"$x_1$ \n漢")


def test_classes_of_one_image_are_known_by_nothing():
    z = torch.tensor([[0.0], [1.0], [5.0]])
    shares = label_noise.nearer_classes(z, torch.tensor([0, 0, 1]), Euclidean())
    assert shares.tolist() == [0, 0, -1]
    assert label_noise.centroids(z, torch.tensor([0, 0, 1])).tolist() in ([0, 2], [1, 2])
