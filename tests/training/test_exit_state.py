"""Runs that do not finish: their state, exit code and message."""

import pytest
import torch

from siamese_lab.cli import main
from siamese_lab.core.errors import Stopped
from siamese_lab.runs.folder import RunFolder, run_folder
from siamese_lab.training.exit_state import exit_state
from tests import _commands
from tests.conftest import FEW, ROOT, SMALL

STARVED = """
import resource, sys
import torch
from siamese_lab.training.run import train
from siamese_lab.training.throughput import Throughput
from siamese_lab.cli import main

def starve(self, *_):
    words = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    limit = int(words["VmSize"].split()[0]) * 1024 + 64 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

Throughput.on_train_epoch_start = starve  # what a training needs more than this, it does not get
sys.exit(main(sys.argv[1:]))
"""


def test_a_loss_that_is_no_number_ends_a_run_as_diverged(outputs, capsys):
    words = [*SMALL, *FEW, "loss=contrastive", "optimizer=sgd", "optimizer.lr=1e30", "trainer.gradient_clip_val=null"]
    assert main(["train", *words]) == 3
    err = capsys.readouterr().err
    assert "diverged: by step" in err
    assert "optimizer.lr" in err
    (path,) = outputs.glob("single/*/run.json")
    run = RunFolder(path.parent)
    assert run.state() == "diverged"
    for checkpoint in run.path.glob("checkpoints/*.ckpt"):
        weights = torch.load(checkpoint, weights_only=True)["state_dict"].values()
        assert all(torch.isfinite(weight).all() for weight in weights)
    assert main(["resume", run.run_id]) == 2
    assert "would again" in capsys.readouterr().err


def test_out_of_memory_is_said(tmp_path):
    words = [
        "train",
        *SMALL,
        "sampling.batch_size=512",
        "sampling.per_class=8",
        "sampling.steps=3",
        "backbone.width=256",
    ]
    env = {
        "PYTHONPATH": str(ROOT),
        "SIAMESE_LAB_OUTPUTS": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
    }
    done = _commands.run(["-c", STARVED, *words], env=env)
    assert done.returncode == 4, done.stderr
    assert "out of memory after step 0" in done.stderr
    assert "sampling.batch_size" in done.stderr
    assert "Traceback" not in done.stderr
    (path,) = tmp_path.glob("single/*/run.json")
    assert RunFolder(path.parent).state() == "oom"


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (Stopped("SIGTERM", 7), "preempted", 75),
        (Stopped("SIGINT", 7), "preempted", 130),
        (KeyboardInterrupt(), "preempted", 130),
        (Stopped("max_time", 7), "timeout", 124),
        (Stopped("diverged", 7), "diverged", 3),
        (torch.OutOfMemoryError("CUDA out of memory"), "oom", 4),
        (MemoryError(), "oom", 4),
        (OSError(28, "No space left on device"), "failed", 1),
        (RuntimeError("a defect"), "failed", 1),
    ],
    ids=lambda value: f"{type(value).__name__}" if isinstance(value, BaseException) else str(value),
)
def test_every_ending_has_its_state_and_code(outputs, error, state, code):
    end = exit_state(error, run_folder("single", "0123456789ab"), 7)
    assert (end.state, end.exit_code) == (state, code)
    assert end.message is None if isinstance(error, RuntimeError) and state == "failed" else "step 7" in end.message
