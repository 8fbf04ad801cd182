"""What is decided from the machine, and what the user decides."""

import pytest
import torch

from siamese_lab.core.errors import LabError
from siamese_lab.core.hardware import cpu_multiplies_bf16, decide


def test_auto_becomes_a_plain_word():
    decided = decide("cpu", "auto", None, allocator=False)
    assert decided.precision == ("bf16-mixed" if cpu_multiplies_bf16() else "32-true")
    assert (decided.accelerator, decided.layout, decided.allocator) == ("cpu", "channels_last", "default")
    assert decided.threads == torch.get_num_threads()
    assert decide("auto", "auto", None, allocator=False).accelerator == ("gpu" if torch.cuda.is_available() else "cpu")


def test_what_the_user_says_stands():
    decided = decide("cpu", "64-true", channels_last=False, allocator=False)
    assert (decided.precision, decided.layout) == ("64-true", "channels_first")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(LabError, match=r"needs a GPU .* choose auto or cpu"):
        decide("gpu", "auto", None, allocator=False)
