"""What happens between the first and the last step of a run: mining, the bar, an interrupt, other ways in."""

import fcntl
import os
import pty
import signal
import struct
import termios

import pytest
import torch

from siamese_lab.runs.folder import RunFolder
from siamese_lab.sampling.hard_triplets import HardTriplets
from siamese_lab.training.mining import Mining
from tests import _commands
from tests.conftest import FEW, SMALL, run

ENV = {name: value for name, value in os.environ.items() if name != "SIAMESE_LAB_OUTPUTS"}


def test_hard_triplets_are_mined_every_n_epochs_from_the_current_embeddings(outputs, monkeypatch):
    mined, tables, negatives = [], [], []
    mine, begins = HardTriplets.mine, Mining.on_train_epoch_start

    def mine_and_note(self, z, distance, epoch):
        table = mine(self, z, distance)
        mined.append((z.clone(), table))
        return table

    def begin_and_note(self, trainer, pl_module):
        begins(self, trainer, pl_module)
        tables.append(self.loader.table)
        _, ids, _, triplets, *_ = next(iter(self.loader))
        rows = torch.searchsorted(self.loader.ids, ids)
        negatives.append((rows[triplets.anchor], rows[triplets.negative]))

    monkeypatch.setattr(HardTriplets, "mine", mine_and_note)
    monkeypatch.setattr(Mining, "on_train_epoch_start", begin_and_note)
    hard = [
        "sampling=hard_triplets",
        "sampling.warmup=1",
        "sampling.every=2",
        "sampling.share_hard=1",
        "sampling.neighbours=5",
    ]
    run(*FEW, *hard, "loss=triplet", "trainer.max_epochs=5", "trainer.ema=0.9")
    assert len(mined) == 2  # epochs 1 and 3, counted from 0
    assert not torch.equal(mined[0][0], mined[1][0])
    assert tables[0] is None
    assert [table is mined[k][1] for table, k in zip(tables[1:], (0, 0, 1, 1), strict=True)] == [True] * 4
    for table, (anchor, negative) in zip(tables[1:], negatives[1:], strict=True):
        assert (table[anchor] == negative[:, None]).any(1).all()
    nearest = (mined[0][1][negatives[0][0]] == negatives[0][1][:, None]).any(1)
    assert nearest.float().mean() < 0.2  # those of the warm-up are random


def test_the_bar_shows_loss_and_validation_figure(tmp_path):
    """On a pseudo-terminal, as a user sees it."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    words = [
        "-m",
        "siamese_lab",
        "train",
        *SMALL,
        *FEW,
        "trainer.max_epochs=2",
        "trainer.progress=true",
    ]
    process = _commands.start(words, cwd=tmp_path, env=ENV, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 65536):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    assert process.wait(timeout=800) == 0, shown
    text = shown.decode(errors="replace")
    assert "Epoch 1" in text
    assert "loss=" in text
    assert "val/verification/eer=" in text
    assert "v_num" not in text


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        pytest.param(signal.SIGINT, 130, "stopped by SIGINT after step", marks=pytest.mark.slow),
        (signal.SIGTERM, 75, "stopped by SIGTERM after step"),
    ],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_ends_a_run_as_preempted(tmp_path, number, code, words):
    command = [
        "-m",
        "siamese_lab",
        "train",
        *SMALL,
        *FEW,
        "trainer.max_epochs=5000",
        "trainer.progress=true",
    ]
    process = _commands.start(command, cwd=tmp_path, env=ENV, stdout=_commands.PIPE, stderr=_commands.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("epoch 2/"):
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=800)
    assert process.returncode == code, err
    assert words in err
    assert "Traceback" not in err
    assert not out
    (path,) = (tmp_path / "outputs" / "single").glob("*/run.json")
    assert RunFolder(path.parent).state() == "preempted"
    assert (path.parent / "checkpoints" / "last.ckpt").exists()
    evaluated = ["-m", "siamese_lab", "evaluate", path.parent.name]
    done = _commands.run(evaluated, cwd=tmp_path, env=ENV)
    assert done.returncode == 2
    assert "its state is preempted" in done.stderr


@pytest.mark.slow
def test_the_ordinary_hydra_app_gives_the_same_run(tmp_path):
    words = [*SMALL, *FEW, "trainer.max_epochs=1"]
    app = ["-m", "siamese_lab.train", *words]
    for _ in range(2):  # the second time it is finished already
        done = _commands.run(app, cwd=tmp_path, env=ENV)
        assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]  # no dated folders, no logs
    (path,) = (tmp_path / "outputs" / "single").glob("*/metrics.json")
    cli = ["-m", "siamese_lab", "train", *words]
    done = _commands.run(cli, cwd=tmp_path, env=ENV)
    assert "is finished" in done.stdout
    evaluated = [
        "-m",
        "siamese_lab",
        "evaluate",
        path.parent.name,
        "--data",
        "data.images_per_class=4",
        "data.size=16",
    ]
    assert _commands.run(evaluated, cwd=tmp_path, env=ENV).returncode == 0
