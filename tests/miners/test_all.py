"""Every miner of conf/miner, and the known ones against references."""

import itertools

import pytest
import torch
from pytorch_metric_learning import distances as pml_distances
from pytorch_metric_learning import miners as pml_miners

from siamese_lab.config.groups import option_names
from siamese_lab.miners.angular import Angular
from siamese_lab.miners.batch_hard import BatchHard
from siamese_lab.miners.easy_positive import EasyPositive
from siamese_lab.miners.semi_hard import SemiHard
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Pairs, Triplets
from tests._each import each

SELECTIVE = (Angular, EasyPositive)
SIZES = [(n, classes) for n in (2, 5, 12, 40) for classes in (1, 2, 5)]


@pytest.fixture(params=option_names("miner"))
def miner(request, make):
    return make("miner", request.param)


def problem(n, classes, seed=0, dtype=torch.float64, **more):
    g = torch.Generator().manual_seed(seed + 7 * n + classes)
    labels = torch.randint(classes, (n,), generator=g)
    return Embedded(torch.randn(n, 3, generator=g, dtype=torch.float64).to(dtype).requires_grad_(), labels, **more)


def listed(triplets):
    return sorted(zip(*(column.tolist() for column in triplets), strict=True))


def written_semi_hard(e, anchors):
    d, labels = torch.cdist(e.z.detach(), e.z.detach()), e.labels.tolist()
    found = []
    for a, p in itertools.product(range(anchors), range(len(labels))):
        negatives = [n for n in range(len(labels)) if labels[n] != labels[a]]
        if labels[p] != labels[a] or e.ids[p] == e.ids[a] or not negatives:
            continue
        beyond = [n for n in negatives if d[a, n] > d[a, p]]
        chosen = min(beyond, key=lambda n: d[a, n]) if beyond else max(negatives, key=lambda n: d[a, n])
        found.append((a, p, chosen))
    return found


@each("size", SIZES)
@pytest.mark.parametrize("anchors", ["all", "half"])
def test_what_is_mined_is_valid(miner, size, anchors):
    ids = torch.arange(size[0]) // 2 if anchors == "half" else None  # some images stand in the batch twice
    e = problem(*size, anchors=(size[0] + 1) // 2 if anchors == "half" else None, ids=ids)
    tuples = miner(e)
    if tuples is None:
        assert miner.produces == "all"
        return
    assert miner.produces == {Pairs: "pairs", Triplets: "triplets"}[type(tuples)]
    assert all(
        column.dtype == torch.long and not column.requires_grad for column in tuples if column.dtype != torch.bool
    )
    if isinstance(tuples, Triplets):
        assert e.positives()[tuples.anchor, tuples.positive].all()
        assert e.negatives()[tuples.anchor, tuples.negative].all()
        able = set((e.positives().any(1) & e.negatives().any(1)).nonzero().flatten().tolist())
        # the library may choose a pair of one image, which is then left out
        if anchors == "half" and hasattr(miner, "miner"):
            return
        if type(miner) in SELECTIVE:  # leaves out anchors that are easy or too hard
            assert set(tuples.anchor.tolist()) <= able
        else:
            assert set(tuples.anchor.tolist()) == able
    if isinstance(tuples, Pairs):
        assert tuples.left.numel() == 0 or tuples.left.max() < e.anchors
        assert torch.equal(e.positives()[tuples.left, tuples.right], tuples.same)
        assert torch.equal(e.negatives()[tuples.left, tuples.right], ~tuples.same)
    assert e.matrix().requires_grad  # the loss reads the same matrix


@each("size", SIZES)
def test_batch_hard_is_pytorch_metric_learnings(size):
    e = problem(*size)
    theirs = pml_miners.BatchHardMiner(distance=pml_distances.LpDistance(normalize_embeddings=False))(
        e.z.detach(), e.labels
    )
    assert listed(BatchHard()(e)) == listed(theirs)


def test_batch_hard_by_hand():
    z = torch.tensor([[0.0], [1.0], [3.0], [4.0], [9.0]])
    assert listed(BatchHard()(Embedded(z, torch.tensor([0, 0, 1, 0, 2])))) == [(0, 3, 2), (1, 3, 2), (3, 0, 2)]


@pytest.mark.parametrize("anchors", [None, 3])
@each("size", SIZES)
def test_semi_hard_is_the_written_out_one(size, anchors):
    anchors = min(anchors or size[0], size[0])
    e = problem(*size, seed=3, anchors=anchors)
    assert listed(SemiHard()(e)) == sorted(written_semi_hard(e, anchors))


def test_semi_hard_by_hand():
    z = torch.tensor([[0.0], [2.0], [1.0], [3.0], [7.0]])
    mined = listed(SemiHard()(Embedded(z, torch.tensor([0, 0, 1, 1, 1]))))
    # 0 to 1 is 2: the negatives stand at 1, 3 and 7. 1 to 0 is 2: they stand at 1, 1 and 5
    assert mined[:2] == [(0, 1, 3), (1, 0, 4)]
    # 3 to 4 is 4: its negatives, at 3 and 1, are all nearer: the farthest of them
    assert (3, 4, 0) in mined


def test_semi_hard_wants_strictly_farther():
    z = torch.tensor([[0.0], [2.0], [-2.0], [5.0]])
    # not the one at the same distance
    assert listed(SemiHard()(Embedded(z, torch.tensor([0, 0, 1, 1]))))[0] == (
        0,
        1,
        3,
    )
