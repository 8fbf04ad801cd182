"""Two processes against one, with the same global batch."""

import pytest
import torch

from siamese_lab.config.groups import option_names
from tests import _commands
from tests.distributed import _parity as parity

ALLOWED = {"32-true": 1e-5, "64-true": 1e-12}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What each of two processes found: one pair of them computes every case."""
    folder = tmp_path_factory.mktemp("two")
    command = ["-m", "tests.distributed._parity"]
    pair = [_commands.start([*command, str(rank), str(folder / "meeting"), str(folder)], cwd=folder) for rank in (0, 1)]
    assert [process.wait(timeout=600) for process in pair] == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def one():
    """What this process finds alone."""
    before = torch.get_num_threads()
    yield parity.everything()
    torch.set_num_threads(before)


def differ(one, two, key, precision):
    """Whether the gradients of two processes are others than those of one."""
    expected = one[key]
    assert expected.norm() > 0, key
    return any(
        (found[key] - expected).norm() > ALLOWED[precision] * expected.norm() or found[key].dtype != expected.dtype
        for found in two
    )


@pytest.mark.parametrize("precision", parity.PRECISIONS)
@pytest.mark.parametrize("loss", option_names("loss"))
def test_gradients(one, two, loss, precision):
    """Every miner, sampling and distance that the loss goes with."""
    names = [names for names in parity.cases() if names[0] == loss]
    assert len(names) >= 7
    assert [other for other in names if differ(one, two, ("gradients", *other, precision), precision)] == []


@pytest.mark.parametrize("precision", parity.PRECISIONS)
@pytest.mark.parametrize("names", parity.usual(), ids="-".join)
def test_gradients_of_a_step_of_the_trainer(one, two, names, precision):
    assert not differ(one, two, ("trainer", *names, precision), precision)


def test_figures_are_identical(one, two):
    z, figures = one["figures"]
    for other_z, other_figures in (found["figures"] for found in two):
        assert torch.equal(other_z, z)
        assert other_figures == figures


def test_synchronised_batch_statistics_are_those_of_the_whole_batch(one, two):
    gradients, state = one["synchronised"]
    for other_gradients, other_state in (found["synchronised"] for found in two):
        assert (other_gradients - gradients).norm() <= 1e-12 * gradients.norm()
        assert other_state.keys() == state.keys()
        for name, value in state.items():
            torch.testing.assert_close(other_state[name], value, rtol=1e-12, atol=1e-12)
    assert (two[0]["alone"] - gradients).norm() > 1e-3 * gradients.norm()  # without it, each normalises its own slice
