"""`trainer.devices=2`: one run of two processes, and what becomes of it when one of them is gone."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from siamese_lab.core.errors import Lost
from siamese_lab.runs.folder import RunFolder
from siamese_lab.training.exit_state import exit_state
from tests import _commands
from tests.conftest import FEW, SMALL
from tests.training.test_resume import ENV, TRIPLETS, lab, only, results, survives

TWO = ["trainer.devices=2", "trainer.checkpoint_every=5"]
LONG = [*SMALL, *FEW, *TWO, "trainer.max_epochs=5000", "trainer.progress=true"]

STUCK = """
import sys, time
from siamese_lab.model import siamese as model
from siamese_lab.cli import main

step = model.SiameseModule.training_step

def stuck(self, batch, batch_idx):
    if self.global_step == 7:
        print("stuck", file=sys.stderr, flush=True)
        time.sleep(800)  # as in a collective operation on a GPU, which waits for a process that is gone
    return step(self, batch, batch_idx)

model.SiameseModule.training_step = stuck
sys.exit(main(sys.argv[1:]))
"""


def followers(folder):
    """The process numbers of those that train along in `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (
                b"siamese_lab.training.rank_main" in (entry / "cmdline").read_bytes()
                and (entry / "cwd").resolve() == folder.resolve()
            ):
                found.append(int(entry.name))
        except OSError:  # it has ended meanwhile, or is another user's
            continue
    return found


def gone(folder):
    """Whether no process is left behind."""
    until = time.monotonic() + 300
    while followers(folder) and time.monotonic() < until:
        time.sleep(0.1)
    return not followers(folder)


def begun(folder, program, words, line):
    """A run in a process of its own that has printed `line`."""
    process = _commands.start([*program, "train", *words], cwd=folder, env=ENV, stderr=_commands.PIPE, text=True)
    for said in process.stderr:
        if said.startswith(line):
            return process
    raise AssertionError(process.wait())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "kills"),
    [(TRIPLETS, ["step@28"]), (["trainer.ema=0.9", "trainer.sync_batchnorm=true"], ["step@19", "step@13"])],
    ids=["hard_triplets", "synchronised"],
)
def test_a_killed_run_of_two_ends_as_the_uninterrupted_one(tmp_path, words, kills):
    run = survives(tmp_path, [*TWO, *words], kills)
    assert gone(tmp_path / "killed")
    assert run.info()["decided"]["processes"] == 2


def test_two_processes_come_to_what_one_does(tmp_path):
    """On a network without batch statistics; the first of them alone writes, and what it writes is what one process
    would.
    """
    words = [*SMALL[:5], *SMALL[6:], *FEW, "backbone=lenet", "trainer.precision=32-true", "trainer.max_epochs=2"]
    for folder, devices in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        lab(tmp_path / folder, "train", *words, f"trainer.devices={devices}")
    one, two = (only(tmp_path / folder) for folder in ("one", "two"))
    names = [
        sorted(re.sub(r"\d+\..*", "", str(path.relative_to(run.path))) for path in run.path.rglob("*"))
        for run in (one, two)
    ]
    assert names[0] == names[1]
    a, b = (results(tmp_path / folder) for folder in ("one", "two"))
    assert a["metrics"]["untrained"] == b["metrics"]["untrained"]
    for name, weight in a["last"][0].items():
        other = b["last"][0][name]
        assert (other - weight).norm() <= 2e-3 * weight.norm(), name
    for x, y in zip(a["metrics"]["history"], b["metrics"]["history"], strict=True):
        assert x["val/verification/eer"] == pytest.approx(y["val/verification/eer"], abs=0.01)


@pytest.mark.slow
def test_a_run_of_two_goes_on_as_one(tmp_path):
    lab(tmp_path, "train", *SMALL, *FEW, *TWO, killed="step@19")
    done = lab(tmp_path, "resume", only(tmp_path).run_id, "--devices", "1")
    assert "processes was 2 when the run began and is 1" in done.stderr
    assert "batch normalisation was over 48 images and is over 96" in done.stderr
    assert "goes on after step 15" in done.stderr
    assert only(tmp_path).state() == "ok"


def test_a_killed_process_ends_the_run(tmp_path):
    process = begun(tmp_path, ["-m", "siamese_lab"], LONG, "epoch 2/")
    (other,) = followers(tmp_path)
    os.kill(other, signal.SIGKILL)
    _, err = process.communicate(timeout=300)  # its 5000 epochs would take hours
    assert process.returncode == 137, err
    assert "process 1 of the run" in err
    assert "was killed" in err
    assert "siamese-lab resume" in err
    assert "Traceback" not in err
    run = only(tmp_path)
    assert run.state() == "killed"
    assert (run.path / "checkpoints" / "last.ckpt").exists()
    assert gone(tmp_path)


@pytest.mark.slow
def test_a_process_that_hangs_for_another_one_ends_too(tmp_path):
    process = begun(tmp_path, ["-c", STUCK], LONG, "stuck")
    (other,) = followers(tmp_path)
    os.kill(other, signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 137, err
    assert "process 1 of the run" in err
    assert only(tmp_path).state() == "killed"


@pytest.mark.parametrize("told", ["first", pytest.param("other", marks=pytest.mark.slow)])
def test_a_signal_to_either_stops_both_after_the_same_step(tmp_path, told):
    process = begun(tmp_path, ["-m", "siamese_lab"], LONG, "epoch 2/")
    (other,) = followers(tmp_path)
    os.kill(process.pid if told == "first" else other, signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 75, err
    run = only(tmp_path)
    assert run.state() == "preempted"
    assert gone(tmp_path)
    assert "SIGTERM after step" in err or "ended as preempted" in err  # it comes in a step, or while they validate


@pytest.mark.parametrize(("words", "message"), [
    (["sampling.batch_size=96", "trainer.devices=5"], "trainer.devices=5 must divide the 96 images of a batch"),
    (["trainer.devices=0"], "trainer.devices must be >= 1"),
])  # fmt: skip
def test_what_cannot_be_shared_is_refused(tmp_path, words, message):
    done = _commands.run(["-m", "siamese_lab", "train", *SMALL, *words], cwd=tmp_path, env=ENV)
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize(
    ("code", "state"), [(137, "killed"), (4, "oom"), (3, "diverged"), (75, "preempted"), (1, "failed"), (-11, "failed")]
)
def test_the_run_ends_as_the_lost_process_did(code, state):
    end = exit_state(Lost(1, code, "the last words"), RunFolder(Path("outputs/single/0123456789ab")), 7)
    assert end.state == state
    assert "after step 7" in end.message
    assert "the last words" in end.message
