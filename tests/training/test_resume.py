"""`siamese-lab resume`: a killed run ends as the uninterrupted one, to the last bit."""

import os
import random
import shutil
import signal
from pathlib import Path

import pytest
import torch

from siamese_lab.cli import main
from siamese_lab.commands.resume import changes
from siamese_lab.core.errors import LabError
from siamese_lab.model.checkpoint import newest_checkpoint
from siamese_lab.runs.folder import EXIT_CODES, RunFolder
from siamese_lab.runs.influences import influences_file
from tests import _commands
from tests.conftest import FEW, SMALL

ROOT = Path(__file__).parents[2]
ENV = {k: v for k, v in os.environ.items() if k != "SIAMESE_LAB_OUTPUTS"} | {"PYTHONPATH": str(ROOT)}
STEPS = 48  # 4 epochs of 12
PK = ["sampling=pk", "trainer.ema=0.9", "trainer.patience=3"]
PAIRS = ["sampling=hard_pairs", "sampling.neighbours=5", "loss=contrastive", "optimizer=sgd", "optimizer.momentum=0.9"]
TRIPLETS = ["sampling=hard_triplets", "sampling.neighbours=5", "sampling.every=2", "loss=triplet"]
LAP = ["sampling=lap_pairs", "sampling.partition=64", "sampling.every=2", "sampling.noise=0.5", "loss=bce"]
WINDOW = ["sampling=hard_window", "sampling.every=2", "loss=triplet"]
WORKERS = ["trainer.workers=2"]

KILLS = """
import os, signal, sys, io, types
import torch
from siamese_lab.training import checkpoint_io
from siamese_lab.model import siamese as model
from siamese_lab.cli import main

when, at = sys.argv.pop(1).split("@")
calls = 0

def dies(before, real):
    def called(*args, **kwargs):
        global calls
        calls += 1
        if calls == int(at) and before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if calls == int(at):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return called

def half(what, file):
    global calls
    calls += 1
    whole = io.BytesIO()
    torch.save(what, whole)
    file.write(whole.getvalue()[: len(whole.getvalue()) // 2] if calls == int(at) else whole.getvalue())
    file.flush()
    if calls == int(at):
        os.kill(os.getpid(), signal.SIGKILL)

if when == "step":
    model.SiameseModule.optimizer_step = dies(False, model.SiameseModule.optimizer_step)
elif when == "writing":
    checkpoint_io.torch = types.SimpleNamespace(**vars(torch) | {"save": half})
elif when == "renaming":
    checkpoint_io.put = dies(False, checkpoint_io.put)
sys.exit(main(sys.argv[1:]))
"""


def lab(folder, *words, killed=None):
    """The real command in a process of its own, in `folder`; killed="step@7": by SIGKILL after its seventh step.
    What resumes is a fresh interpreter, which has nothing in common with the one that was killed, not even its hashes.
    """
    program = ["-m", "siamese_lab"] if killed is None else ["-c", KILLS, killed]
    run = _commands.run_fresh if words[0] == "resume" else _commands.run
    done = run([*program, *words], cwd=folder, env=ENV)
    expected = 0 if killed is None else -signal.SIGKILL
    assert done.returncode == expected, done.stderr
    return done


def only(folder):
    """The one run in a folder of outputs."""
    (path,) = (folder / "outputs" / "single").glob("*/run.json")
    return RunFolder(path.parent)


def results(folder):
    """All that a run computed: figures, influences, history, and every tensor of its two checkpoints."""
    run = only(folder)
    metrics = run.metrics()
    training = metrics.pop("training")
    found = {
        "metrics": metrics,
        "steps": training["steps"],
        "influences": [influences_file(run.path, part).read_bytes() for part in ("val", "test")],
    }
    for name in ("best", "last"):
        checkpoint = torch.load(run.path / "checkpoints" / f"{name}.ckpt", weights_only=True)
        found[name] = [
            checkpoint[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step")
        ]
    return found


def same(a, b):
    """Equal to the last bit, tensors included."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def survives(tmp_path, words, kills):
    """Trains once without and once with kills; returns the killed run."""
    words = [*SMALL, *FEW, "trainer.checkpoint_every=5", *words]
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    lab(tmp_path / "whole", "train", *words)
    lab(tmp_path / "killed", "train", *words, killed=kills[0])
    run = only(tmp_path / "killed")
    assert run.state() == "killed"
    for kill in kills[1:]:
        lab(tmp_path / "killed", "resume", run.run_id, killed=kill)
    done = lab(tmp_path / "killed", "resume", run.run_id[:6])
    assert "Test figures" in done.stdout
    assert run.state() == "ok"
    a, b = results(tmp_path / "whole"), results(tmp_path / "killed")
    for key in a:
        assert same(a[key], b[key]), key
    assert len(run.info()["resumed"]) == len(kills)
    return run


@pytest.mark.parametrize(("words", "kills"), [
    # the second within the epoch that the first had interrupted
    pytest.param(PK, ["step@19", "step@13"], marks=pytest.mark.slow),
    pytest.param([*PAIRS, *WORKERS], ["step@32"], marks=pytest.mark.slow),
    pytest.param(TRIPLETS, ["step@28", "step@1", "step@9"], marks=pytest.mark.slow),
    ([*PK, *WORKERS], ["writing@5", "renaming@4"]),
], ids=["pk", "hard_pairs", "hard_triplets", "during a checkpoint"])  # fmt: skip
def test_a_killed_run_ends_as_the_uninterrupted_one(tmp_path, words, kills):
    run = survives(tmp_path, words, kills)
    done = 0
    for kill, resumed in zip(kills, run.info()["resumed"], strict=True):
        when, at = kill.split("@")
        if when == "step" and done + int(at) % 5:
            assert resumed["step"] < done + int(at)  # steps were done again
        done = resumed["step"]
    assert resumed["step"] > 0
    assert not list((run.path / "checkpoints").glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [PK, PAIRS, TRIPLETS, LAP, WINDOW, [*PAIRS, *WORKERS], [*TRIPLETS, *WORKERS]], ids=str
)
def test_ten_kills(tmp_path, words):
    """Ten for each run, at seeded random steps."""
    draw = random.Random(str(words))
    survives(tmp_path, words, [f"step@{draw.randint(1, 9)}" for _ in range(10)])


@pytest.mark.slow
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path):
    words = [*SMALL, *FEW, "trainer.checkpoint_every=5"]
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    lab(tmp_path / "whole", "train", *words)
    lab(tmp_path / "killed", "train", *words, killed="step@33")
    run = only(tmp_path / "killed")
    last = run.path / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    done = lab(tmp_path / "killed", "resume", run.run_id)
    assert "last.ckpt" in done.stderr
    assert "goes on after step 25" in done.stderr
    assert all(
        same(a, b)
        for a, b in zip(results(tmp_path / "whole").values(), results(tmp_path / "killed").values(), strict=True)
    )


@pytest.mark.parametrize("harm", ["truncated", "empty", "altered"])
def test_only_a_whole_checkpoint_is_taken(done, tmp_path, harm):
    good = (done[0].path / "checkpoints" / "last.ckpt").read_bytes()
    bad = {
        "truncated": good[: len(good) // 2],
        "empty": b"",
        "altered": good[:5000] + bytes([good[5000] ^ 1]) + good[5001:],
    }[harm]
    (tmp_path / "last.ckpt").write_bytes(bad)
    with pytest.raises(LabError, match="no checkpoint of this run is whole"):
        newest_checkpoint(tmp_path)
    (tmp_path / "previous.ckpt").write_bytes(good)
    found = newest_checkpoint(tmp_path)
    assert (found.path.name, found.step) == ("previous.ckpt", STEPS)
    assert "last.ckpt" in found.broken[0]


@pytest.mark.slow
def test_the_limit_of_time_judges_and_goes_on_later(tmp_path):
    words = [*SMALL, "sampling.batch_size=96", "trainer.max_epochs=4", "trainer.validate_every=1"]
    for name in ("whole", "late"):
        (tmp_path / name).mkdir()
    lab(tmp_path / "whole", "train", *words, "sampling.steps=40")
    command = ["-m", "siamese_lab", "train", *words, "sampling.steps=40", "trainer.max_time=0.02"]
    done = _commands.run(command, cwd=tmp_path / "late", env=ENV)
    assert done.returncode == EXIT_CODES["timeout"], done.stderr
    assert "Test figures" in done.stdout
    assert "reached trainer.max_time after step" in done.stderr
    run = only(tmp_path / "late")
    assert run.state() == "timeout"
    lab(tmp_path / "late", "resume", run.run_id, "--max-time", "10:00:00")
    assert all(
        same(a, b)
        for a, b in zip(results(tmp_path / "whole").values(), results(tmp_path / "late").values(), strict=True)
    )


def test_what_cannot_be_resumed_is_said(done, tmp_path, capsys):
    assert main(["resume", "nothing"]) == 2
    assert main(["resume", str(done[0].path)]) == 0  # it is finished: its figures
    assert "Test figures" in capsys.readouterr().out
    copy = RunFolder(Path(shutil.copytree(done[0].path, tmp_path / "single" / done[0].run_id)))
    copy.update(state="preempted")
    assert main(["resume", str(copy.path), "--max-time", "soon"]) == 2
    assert "--max-time must be" in capsys.readouterr().err
    with copy.lock():
        assert main(["resume", str(copy.path)]) == 2
        assert "is running now" in capsys.readouterr().err
    config = copy.path / "config.yaml"
    config.write_text(config.read_text().replace("seed: 0", "seed: 1", 1))
    assert main(["resume", str(copy.path)]) == 2
    assert "no longer those that it began with" in capsys.readouterr().err
    copy.update(state="running", pid=os.getpid())
    assert main(["resume", str(copy.path)]) == 2
    assert f"is running now, as process {os.getpid()}" in capsys.readouterr().err


def test_two_processes_do_not_write_one_run(outputs, capsys):
    words = ["train", *SMALL, *FEW, "trainer.max_epochs=1"]
    assert main(words) == 0
    (path,) = outputs.glob("single/*/run.json")
    code = f"""
import time
from pathlib import Path
from siamese_lab.runs.folder import RunFolder
with RunFolder(Path({str(path.parent)!r})).lock():
    print("held", flush=True)
    time.sleep(600)
"""
    other = _commands.start(["-c", code], stdout=_commands.PIPE)
    try:
        assert other.stdout.readline()
        assert main([*words, "--force"]) == 2
        assert "is running now" in capsys.readouterr().err
        assert path.exists()  # nothing was removed
    finally:
        other.kill()
        other.communicate()  # closes its pipe as well
    assert main([*words, "--force"]) == 0  # a dead process holds nothing


def test_what_has_changed_since_a_run_began_is_named(done):
    info = done[0].info()
    assert changes(done[0], info["decided"]) == []
    (words,) = changes(done[0], info["decided"] | {"threads": 99})
    assert words == f"threads was {info['decided']['threads']} when the run began and is 99"
