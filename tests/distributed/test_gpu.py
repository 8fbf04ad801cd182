"""`make test-gpu`: the same commands on a GPU."""

import pytest
import torch

from siamese_lab.cli import main
from tests.conftest import FEW, run
from tests.distributed import _parity as parity

pytestmark = pytest.mark.gpu


def test_the_same_command_uses_a_gpu(outputs, capsys):
    folder, metrics = run(*FEW, "trainer.max_epochs=8")
    assert folder.info()["decided"]["accelerator"] == "gpu"
    assert metrics["test"]["verification/eer"]["value"] < 0.9 * metrics["untrained"]["verification/eer"]["value"]
    assert main(["evaluate", folder.run_id]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("verification/eer")]
    assert lines[0].count(f"{100 * metrics['test']['verification/eer']['value']:.2f}") >= 2


@pytest.mark.parametrize("names", parity.cases(), ids="-".join)
def test_a_gpu_gives_the_gradients_of_the_cpu(names):
    expected, _ = parity.step(names, "32-true", parity.mlp())
    found, _ = parity.step(names, "32-true", parity.mlp(), "gpu")
    assert (found.cpu() - expected).norm() <= 1e-4 * expected.norm()


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed", "32-true"])
def test_every_precision_trains(outputs, precision):
    folder, metrics = run(*FEW, "trainer.max_epochs=8", f"trainer.precision={precision}")
    assert folder.info()["decided"]["precision"] == precision
    assert metrics["test"]["verification/eer"]["value"] < 0.9 * metrics["untrained"]["verification/eer"]["value"]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_one_run(outputs):
    folder, metrics = run(*FEW, "trainer.max_epochs=8", "trainer.devices=2", "trainer.sync_batchnorm=true")
    assert folder.info()["decided"]["processes"] == 2
    assert metrics["test"]["verification/eer"]["value"] < 0.9 * metrics["untrained"]["verification/eer"]["value"]
