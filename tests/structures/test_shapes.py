"""Tensors of a wrong shape or type are refused where a structure is made, by a message with the shape that came."""

import pytest
import torch

from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.samples import Samples
from siamese_lab.structures.tuples import Episode, Pairs, Triplets

Z, LABELS = torch.zeros(4, 2), torch.tensor([0, 0, 1, 1])
ROWS, YES = torch.tensor([0, 1]), torch.tensor([True, False])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Embedded(Z, LABELS[:, None]), r"labels must be 4 integers.*int64 of shape \(4, 1\)"),
        (lambda: Embedded(Z, LABELS.float()), r"labels must be 4 integers.*float32 of shape \(4,\)"),
        (lambda: Embedded(Z, LABELS[:3]), r"labels must be 4 integers.*shape \(3,\)"),
        (
            lambda: Embedded(Z[0], LABELS),
            r"z must be floats of shape \(rows, dimensions\), got float32 of shape \(2,\)",
        ),
        (lambda: Embedded(Z.long(), LABELS), r"z must be floats.*int64"),
        (lambda: Embedded(Z, LABELS, ids=LABELS[:, None]), r"ids must be 4 integers"),
        (lambda: Embedded(Z, LABELS, anchors=5), r"anchors must lie in 0 to 4, the rows of z, got 5"),
        (lambda: Pairs(ROWS, ROWS[:1], YES), r"right must be 2 integers, one for each of left"),
        (lambda: Pairs(ROWS, ROWS, ROWS), r"same must be 2 booleans.*int64"),
        (lambda: Pairs(ROWS[:, None], ROWS, YES), r"left must be a vector of integers, got int64 of shape \(2, 1\)"),
        (lambda: Triplets(ROWS, ROWS, ROWS.float()), r"negative must be 2 integers"),
        (lambda: Episode(ROWS, ROWS[None]), r"query must be a vector of integers"),
        (lambda: EmbeddedSet(Z, LABELS[:, None], ("a", "b"), Euclidean()), r"labels must be 4 integers"),
        (lambda: EmbeddedSet(Z, LABELS + 1, ("a", "b"), Euclidean()), r"labels must lie in 0 to 1.*got 1 to 2"),
        (lambda: EmbeddedSet(Z, LABELS, ("a", "a"), Euclidean()), r"classes must be unique"),
        (
            lambda: EmbeddedSet(Z, LABELS, ("a", "b"), Euclidean(), groups={"g": (LABELS, ("x",))}),
            r"the codes of group g must lie in 0 to 0",
        ),
        (
            lambda: Samples(Z, ROWS, ROWS, ROWS, ("a", "b"), {}, ROWS, disjoint="label", fingerprint=""),
            r"images must be uint8 of shape \(M, C, H, W\), got float32 of shape \(4, 2\)",
        ),
    ],
)
def test_a_wrong_shape_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
