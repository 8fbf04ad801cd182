"""Cross-batch memory: what it holds, what a loss sees of it, and that a checkpoint keeps all of it."""

import pytest
import torch

from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.losses.contrastive import ContrastiveLoss
from siamese_lab.memory.xbm import XBM
from siamese_lab.structures.embedded import Embedded
from tests.conftest import FEW, run
from tests.training.test_resume import PK, survives


def batches(n, rows=6, dim=3):
    g = torch.Generator().manual_seed(0)
    for k in range(n):
        z = torch.randn(rows, dim, generator=g).requires_grad_()
        yield Embedded(z, torch.randint(4, (rows,), generator=g), torch.arange(rows) + k * rows, distance=Euclidean())


def test_rows_come_in_order_and_the_oldest_are_written_over():
    memory, past = XBM(dim=3, size=15, warmup=0), []
    for e in batches(7):
        seen = memory(e)
        assert seen.anchors == 6
        assert torch.equal(seen.z[:6], e.z)
        kept = torch.cat(past)[-15:] if past else torch.zeros(0, 3)
        assert sorted(map(tuple, seen.z[6:].tolist())) == sorted(map(tuple, kept.tolist()))
        (gradient,) = torch.autograd.grad(seen.z[6:].sum(), e.z)
        assert gradient.eq(0).all()
        past.append(e.z.detach())
        by_id = {int(i): row for i, row in zip(seen.ids[6:], seen.z[6:], strict=True)}
        assert all(torch.equal(row, torch.cat(past)[i]) for i, row in by_id.items())  # an id stays with its row


def test_a_batch_larger_than_the_memory_leaves_its_end():
    memory = XBM(dim=3, size=4, warmup=0)
    first, second = batches(2)
    memory(first)
    assert sorted(memory(second).ids[6:].tolist()) == [2, 3, 4, 5]


def test_it_waits_out_the_warm_up_and_keeps_nothing_in_evaluation():
    memory = XBM(dim=3, size=50, warmup=2)
    assert [len(memory(e).z) for e in batches(4)] == [6, 6, 18, 24]
    memory.eval()
    assert [len(memory(e).z) for e in batches(2)] == [30, 30]


def test_an_image_is_no_positive_of_itself_in_the_memory():
    memory = XBM(dim=3, size=50, warmup=0)
    (e,) = batches(1)
    memory(e)
    seen = memory(e)
    assert torch.equal(seen.positives()[:, 6:], seen.positives()[:, :6])


def test_the_loss_is_the_written_out_one():
    ours = ContrastiveLoss(margin=1.0)
    memory = XBM(dim=3, size=12, warmup=0)
    for e in batches(5):
        seen = memory(e)
        left, right = torch.ones(len(seen.z), len(seen.z)).triu(1)[:6].nonzero(as_tuple=True)
        d = (seen.z[left] - seen.z[right]).norm(dim=1)
        same = seen.labels[left] == seen.labels[right]
        expected = d[same].square().mean().nan_to_num() + (1 - d[~same]).clamp(min=0).square().mean()
        torch.testing.assert_close(ours(seen)[0], expected)


def test_state_is_whole():
    memory, other = XBM(dim=3, size=10, warmup=2), XBM(dim=3, size=10, warmup=2)
    *first, last = batches(4)
    for e in first:
        memory(e)
    other.load_state_dict(memory.state_dict())
    a, b = memory(last), other(last)
    assert torch.equal(a.z, b.z)
    assert torch.equal(a.ids, b.ids)
    assert all(
        torch.equal(x, y) for x, y in zip(memory.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    ("values", "words"), [({"size": 0}, "size must be > 0"), ({"warmup": -1}, "warmup must be >= 0")]
)
def test_bad_values(values, words):
    with pytest.raises(ValueError, match=words):
        XBM(dim=3, **values)


@pytest.mark.parametrize("loss", ["supcon", "triplet"])
def test_a_run_with_a_memory_learns(outputs, loss):
    _, metrics = run(*FEW, "memory=xbm", "memory.size=200", "memory.warmup=12", f"loss={loss}", "trainer.max_epochs=8")
    assert metrics["test"]["verification/eer"]["value"] < 0.9 * metrics["untrained"]["verification/eer"]["value"]


@pytest.mark.slow  # test_resume_everything.py has it without a kill
def test_a_killed_run_with_a_memory_ends_as_the_uninterrupted_one(tmp_path):
    survives(tmp_path, [*PK, "memory=xbm", "memory.size=150", "memory.warmup=5"], ["step@19"])
