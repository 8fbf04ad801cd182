"""`launcher=local`: slots, GPUs, the server that jobs are forked from."""

import json
import math
import os
import subprocess
import sys

import pytest

from siamese_lab.cli import main
from siamese_lab.runs.job import Job
from siamese_lab.sweep.launchers import local
from siamese_lab.sweep.launchers.local import Local, gpus_for_slots, visible_gpus
from tests.conftest import ROOT
from tests.sweep._helpers import start_sweep, write_jobs

QUICK = ["trainer.max_epochs=1", "sampling.steps=4"]


@pytest.mark.parametrize(("options", "words"), [
    ({"slots": 0}, "slots must be >= 1"),
    ({"slots": math.nan}, "slots must be >= 1"),
    ({"gpu_share": 0}, r"gpu_share must lie in \(0, 1\]"),
    ({"gpu_share": math.nan}, r"gpu_share must lie in \(0, 1\]"),
    ({"gpu_share": 1.5}, r"gpu_share must lie in \(0, 1\]"),
    ({"timeout": 0}, "timeout must be > 0"),
    ({"retries": -1}, "retries must be >= 0"),
])  # fmt: skip
def test_bad_values_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Local(**options)


def test_bad_values_on_the_command_line_are_one_message(outputs, capsys):
    assert main(["train", "-m", "seed=1,2", "launcher.slots=0", "launcher.timeout=soon"]) == 2
    err = capsys.readouterr().err
    assert "launcher.timeout must be" in err
    assert not list(outputs.glob("*/*"))


@pytest.mark.parametrize(("cores", "gpus", "options", "slots", "threads"), [
    (8, "", {}, 8, 1),
    (8, "", {"slots": 2}, 2, 4),
    (8, "", {"slots": 3}, 3, 2),
    (2, "", {"slots": 5}, 5, 1),
    (8, "0,1", {}, 2, 4),
    (8, "0,1", {"gpu_share": 0.5}, 4, 2),
    (8, "3", {"gpu_share": 0.33}, 3, 2),
    (8, "-1", {}, 8, 1),
])  # fmt: skip
def test_cores_and_gpus_are_shared_out(monkeypatch, cores, gpus, options, slots, threads):
    monkeypatch.setattr(local, "available_cores", lambda: cores)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    made = Local(**options)
    assert (made.slots, made.threads) == (slots, threads)


def test_gpus_are_found_by_their_names_and_given_to_slots(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a, 2")
    assert visible_gpus() == ["GPU-a", "2"]
    assert gpus_for_slots([0], ["4", "5"], 1) == ["4"]
    assert gpus_for_slots([3], ["4", "5"], 1) == ["5"]
    assert gpus_for_slots([1], ["4", "5", "6"], 2) == ["5", "4"]
    assert gpus_for_slots([0, 1], ["4", "5"], 2) == ["4", "5"]


def test_a_job_on_several_gpus_takes_slots_of_unlike_ones(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    made = Local(gpu_share=0.5)
    assert made.slots == 4  # two of each: 0 and 2, 1 and 3
    assert made._choose_slots(Job("s", "a", {}, devices=2)) == [0, 1]
    made._free = [1, 2, 3]
    assert made._choose_slots(Job("s", "a", {}, devices=2)) == [1, 2]
    assert made._choose_slots(Job("s", "a", {}, devices=1)) == [1]
    assert made.slots_of(Job("s", "a", {}, devices=9)) == 4


PRELOAD = """
import torch
def never(*_): raise SystemExit("CUDA was touched: no forked job could use a GPU")
for name in ("_cuda_init", "_cuda_getDeviceCount"):
    setattr(torch._C, name, never)
import siamese_lab.sweep.execution.forkserver_preload
"""

THREADS = """
import os, threading
import siamese_lab.sweep.execution.forkserver_preload
print(threading.active_count(), len(os.listdir("/proc/self/task")))
"""


@pytest.mark.parametrize(("code", "out"), [(PRELOAD, ""), (THREADS, "1 1\n")], ids=["gpu", "threads"])
def test_the_server_touches_no_gpu_and_has_one_thread(code, out):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (out, 0), done.stderr


def test_a_job_takes_itself_for_no_part_of_another(outputs, monkeypatch):
    """As where a sweep is started in a job of SLURM or by torchrun."""
    outputs.mkdir(parents=True)
    (job,) = write_jobs("alone", ["seed=1"], common=QUICK)
    for name, value in {
        "LOCAL_RANK": "1",
        "RANK": "1",
        "WORLD_SIZE": "2",
        "NODE_RANK": "1",
        "SLURM_NTASKS": "2",
        "PL_GLOBAL_SEED": "3",
    }.items():
        monkeypatch.setenv(name, value)
    process = start_sweep("alone", outputs, slots=1)
    out, err = process.communicate(timeout=300)
    assert set(json.loads(out).values()) == {"ok"}, err
    assert job.folder.info()["decided"]["processes"] == 1
