"""What labels imply: pairs, triplets, masks, distances."""

import itertools

import pytest
import torch

from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.samples import TEST, TRAIN, UNUSED, VAL, Samples
from siamese_lab.structures.tuples import Pairs, Triplets, as_pairs, as_triplets

LABELS = torch.tensor([0, 1, 0, 2, 1, 0])
IDS = torch.tensor([10, 11, 12, 13, 14, 10])  # the last row shows the image of the first again


def embedded(anchors=None, dtype=torch.float64):
    z = torch.randn(len(LABELS), 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return Embedded(z, LABELS, IDS, anchors)


def written_pairs(anchors):
    rows = itertools.product(range(anchors), range(len(LABELS)))
    return {(i, j, bool(LABELS[i] == LABELS[j])) for i, j in rows if i < j and IDS[i] != IDS[j]}


def written_triplets(anchors):
    rows = itertools.product(range(anchors), range(len(LABELS)), range(len(LABELS)))
    return {(a, p, n) for a, p, n in rows if LABELS[a] == LABELS[p] and IDS[a] != IDS[p] and LABELS[n] != LABELS[a]}


def listed(tuples):
    return list(zip(*(column.tolist() for column in tuples), strict=True))


@pytest.mark.parametrize("anchors", [6, 4, 1])
def test_none_means_all_that_labels_imply(anchors):
    pairs, triplets = listed(as_pairs(embedded(anchors), None)), listed(as_triplets(embedded(anchors), None))
    assert set(pairs) == written_pairs(anchors)
    assert set(triplets) == written_triplets(anchors)
    assert (len(pairs), len(triplets)) == (len(set(pairs)), len(set(triplets)))


def test_tuples_are_taken_as_they_are():
    one = torch.tensor([1])
    pairs, triplets = Pairs(one, one + 2, one > 5), Triplets(one, one + 3, one - 1)
    assert as_pairs(embedded(), pairs) is pairs
    assert as_triplets(embedded(), triplets) is triplets
    assert listed(as_pairs(embedded(), triplets)) == [(1, 4, True), (1, 0, False)]
    with pytest.raises(ValueError, match="consumes triplets got pairs"):
        as_triplets(embedded(), pairs)


def test_masks_of_anchors_and_memory():
    e = embedded(4)
    assert (e.positives().shape, e.negatives().shape) == ((4, 6), (4, 6))
    assert not e.positives().diagonal().any()
    assert not e.positives()[0, 5]  # the same image
    assert not (e.positives() & e.negatives()).any()
    assert not e.negatives()[0, 5]


@pytest.mark.parametrize("computed", [False, True])
def test_distances_at_rows(computed):
    e = embedded()
    if computed:
        e.matrix()
    left, right = torch.tensor([0, 1, 5]), torch.tensor([3, 1, 2])
    torch.testing.assert_close(e.at(left, right), (e.z[left] - e.z[right]).norm(dim=1))
    assert (e._matrix is not None) == computed  # three distances are not worth a matrix


def test_all_pairs_are_read_from_one_matrix():
    e = embedded()
    left, right, _ = as_pairs(e, None)
    torch.testing.assert_close(e.at(left, right), (e.z[left] - e.z[right]).norm(dim=1))
    assert e.matrix() is e.matrix()


def test_matrix_has_a_graph_even_where_the_miner_asks_first():
    z = torch.randn(4, 3, requires_grad=True)
    e = Embedded(z, torch.tensor([0, 0, 1, 1]))
    with torch.no_grad():
        e.matrix()
    e.at(torch.tensor([0]), torch.tensor([2])).sum().backward()
    assert z.grad is not None
    assert z.grad[[0, 2]].abs().sum() > 0


@pytest.mark.parametrize(("given", "kept"), [("bfloat16", "float32"), ("float16", "float32"), ("float64", "float64")])
def test_distances_are_at_least_float32(given, kept):
    e = Embedded(torch.randn(4, 3).to(getattr(torch, given)), torch.tensor([0, 0, 1, 1]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (e.z.dtype, e.matrix().dtype, e.zero().dtype) == (getattr(torch, kept),) * 3
    two = Embedded(e.z, e.labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert two.at(torch.tensor([0]), torch.tensor([1])).dtype == getattr(torch, kept)


def test_defaults_of_a_notebook():
    e = Embedded(torch.eye(3), torch.tensor([0, 0, 1]))
    assert isinstance(e.distance, Euclidean)
    assert (e.ids.tolist(), e.anchors) == ([0, 1, 2], 3)
    with pytest.raises(ValueError, match="labels must be 3 integers"):
        Embedded(torch.eye(3), torch.tensor([0, 1]))


def test_samples_are_gathered_and_turned():
    images = torch.arange(3 * 2 * 2, dtype=torch.uint8).view(3, 1, 2, 2)
    samples = Samples(
        images=images,
        row=torch.tensor([2, 0, 0, 1]),
        turn=torch.tensor([0, 1, 2, 3]),
        labels=torch.tensor([0, 1, 1, 2]),
        classes=("a", "b", "c"),
        groups={},
        split=torch.tensor([TRAIN, TEST, VAL, UNUSED]),
        disjoint="label",
        fingerprint="",
    )
    assert [samples.ids(part).tolist() for part in ("train", "val", "test")] == [[0], [2], [1]]
    seen = samples.gather(torch.tensor([3, 1, 0, 2]))[:, 0]
    # image 0 is [[0, 1], [2, 3]]: a quarter turn counter-clockwise brings its right column to the top
    assert seen.tolist() == [[[6, 4], [7, 5]], [[1, 3], [0, 2]], [[8, 9], [10, 11]], [[3, 2], [1, 0]]]
    assert images.flatten().tolist() == list(range(12))  # the store stays as it is
