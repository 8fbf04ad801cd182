"""The triplet loss over all triplets of a batch against the same one over a list of them, and what memory it takes."""

import pytest
import torch

from siamese_lab.distances.cosine import Cosine
from siamese_lab.losses import _all_triplets as all_triplets
from siamese_lab.losses.triplet import TripletLoss
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import as_triplets
from tests import _commands
from tests._each import each
from tests.conftest import ROOT
from tests.training.test_resume import ENV

LARGE = """
import resource, torch
from siamese_lab.structures.tuples import Embedded
from siamese_lab.losses.triplet import TripletLoss

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB

z = torch.nn.functional.normalize(torch.randn(2048, 128)).requires_grad_()
labels = torch.arange(2048) // {each}
value, _ = TripletLoss(form="{form}")(Embedded(z[:64], labels[:64]))  # what the libraries themselves take
value.backward()
before = peak()
value, facts = TripletLoss(form="{form}")(Embedded(z, labels))
value.backward()
print(peak() - before, int(facts["tuples"]))
"""


def problem(n, classes, dtype, kind):
    g = torch.Generator().manual_seed(n + classes)
    z = torch.randn(n, 4, generator=g, dtype=torch.float64).to(dtype)
    if kind == "duplicates":
        z = z[torch.randint(n, (n,), generator=g)]
    if kind == "grid":  # many distances that are equal, and margins that are met exactly
        z = z.round()
    return z.requires_grad_(), torch.randint(classes, (n,), generator=g)


@pytest.mark.parametrize(
    ("dtype", "allowed"), [(torch.float64, 1e-9), (torch.float32, 1e-4)], ids=["float64", "float32"]
)
@pytest.mark.parametrize("form", ["hinge", "soft"])
@pytest.mark.parametrize("average", ["active", "all"])
@each("kind", ["random", "duplicates", "grid"])
@pytest.mark.parametrize(("n", "classes", "anchors"), [(40, 3, 40), (64, 20, 64), (150, 2, 150), (64, 8, 17)])
@each("margin", [0.2, 1.0])
def test_it_is_the_listed_form(monkeypatch, dtype, allowed, form, average, kind, n, classes, anchors, margin):
    monkeypatch.setattr(all_triplets, "TILE", 1000)  # several tiles, the last one short
    monkeypatch.setattr(all_triplets, "FEW", 12)  # both ways of counting
    z, labels = problem(n, classes, dtype, kind)
    loss = TripletLoss(margin, form, average)
    e, listed = Embedded(z, labels, anchors=anchors), Embedded(z, labels, anchors=anchors)
    # a distance of two equal rows is a rounding error in this form, and 0 in that of pairs
    both = (
        e.matrix(),
        listed.matrix(),
    )
    found, facts = loss(e)
    expected, expected_facts = loss(listed, as_triplets(listed, None))
    assert {name: int(fact) for name, fact in facts.items()} == {
        name: int(fact) for name, fact in expected_facts.items()
    }
    torch.testing.assert_close(found, expected, rtol=allowed, atol=allowed)
    (gradient,), (wanted,) = (
        torch.autograd.grad(value, d, retain_graph=True) for value, d in zip((found, expected), both, strict=True)
    )
    assert (gradient - wanted).norm() <= allowed * wanted.norm()
    if kind != "duplicates":  # there, a rounding error divided by another
        (gradient,), (wanted,) = torch.autograd.grad(found, z), torch.autograd.grad(expected, z)
        assert (gradient - wanted).norm() <= allowed * wanted.norm()


def test_by_hand_on_a_line():
    d = torch.tensor([[0.0, 1.0, 3.0, 1.5, 2.5]], dtype=torch.float64, requires_grad=True)
    positives, negatives = (
        torch.tensor([[False, True, True, False, False]]),
        torch.tensor([[False, False, False, True, True]]),
    )
    # positives at 1 and 3, negatives at 1.5 and 2.5, margin 1: 1-1.5 costs 0.5, 1-2.5 nothing, 3-1.5 costs 2.5, 3-2.5
    # costs 1.5
    cost, active, count = all_triplets.all_triplet_costs(d, positives, negatives, 1.0)
    cost.backward()
    assert (float(cost.detach()), int(active), int(count)) == (4.5, 3, 4)
    assert d.grad.tolist() == [[0, 1, 2, -2, -1]]


def test_gradient_through_a_matrix_that_the_miner_shares():
    z, labels = problem(12, 3, torch.float64, "random")
    assert torch.autograd.gradcheck(lambda z: TripletLoss(form="soft")(Embedded(z, labels, distance=Cosine()))[0], (z,))


@pytest.mark.parametrize("form", ["hinge", "soft"])
@pytest.mark.parametrize("each", [4, 128])
def test_two_thousand_images_take_less_than_a_gigabyte(form, each):
    code = LARGE.format(form=form, each=each)
    done = _commands.run(["-c", code], cwd=ROOT, env=ENV)
    taken, triplets = done.stdout.split()
    assert float(taken) < 1024, done.stderr
    assert int(triplets) == 2048 * (each - 1) * (2048 - each)
