"""Sweeps on a disk that is full, with too little memory, or given up at the wrong moment."""

import os
import signal
from pathlib import Path

import pytest

from siamese_lab.cli import main
from siamese_lab.runs.study import read_study
from siamese_lab.sweep.execution.job_source import JobList
from siamese_lab.sweep.execution.scheduler import schedule
from siamese_lab.sweep.execution.stop import Stop
from siamese_lab.sweep.launchers.local import Local
from tests import _commands
from tests.conftest import FEW, SMALL
from tests.runs.test_full_disk import disk
from tests.sweep._helpers import figures, wait_until, write_jobs

__all__ = ["disk"]
QUICK = ["trainer.max_epochs=2", "sampling.steps=4"]


def run_sweep(jobs):
    states = schedule(JobList(jobs), Local(slots=2), Stop())
    return [states[job.run_id] for job in jobs]


@pytest.mark.parametrize("room", [0, 8, 40, 100, 400])
def test_a_full_disk_ends_no_sweep_and_room_again_finishes_it(disk, capfd, caplog, room):
    """`room`: KB left when the first job begins, too few for its record, folder or checkpoint, or for the second."""
    folder = disk("size=20m")
    jobs = write_jobs("full", ["seed=1"], ["seed=2"], common=QUICK)
    filler = folder / "filler"
    with filler.open("wb") as file:
        free = os.statvfs(folder)
        file.write(b"\0" * (free.f_bavail * free.f_bsize - room * 1024))
    states = run_sweep(jobs)
    assert "failed" in states
    assert set(states) <= {"failed", "ok"}
    assert "No space left" in "".join(
        [
            capfd.readouterr().err,
            caplog.text,
            *(job.file("log").read_text() for job in jobs if job.file("log").exists()),
        ]
    )
    filler.unlink()
    assert run_sweep(jobs) == ["ok", "ok"]
    assert figures(jobs[0]) != figures(jobs[1])
    assert not list((folder / "outputs").rglob(".*.json.*"))


def test_a_run_that_needs_more_memory_than_there_is_takes_no_other_along(outputs, capsys):
    words = [*SMALL[:5], *SMALL[6:], *FEW, *QUICK, "backbone.width=16,300000", "seed=1", "study=large"]
    assert main(["train", "-m", *words]) == 1
    out = capsys.readouterr().out
    assert "1 ok, 1 oom" in out
    large = next(job for job in read_study("large").jobs if job.point["backbone.width"] == "300000")
    assert large.attempts()[0]["state"] == "oom"
    assert "allocate" in large.attempts()[0]["reason"]


@pytest.mark.parametrize(
    "moment", [pytest.param("plan", marks=pytest.mark.slow), "check", pytest.param("run", marks=pytest.mark.slow)]
)
def test_ctrl_c_at_any_moment_leaves_no_process_and_no_traceback(outputs, moment):
    words = [*SMALL, *FEW, "trainer.max_epochs=500", "seed=1,2,3", "loss=supcon,triplet,contrastive", "study=stopped"]
    process = _commands.start(
        ["-m", "siamese_lab", "train", "-m", *words],
        stdout=_commands.PIPE,
        stderr=_commands.PIPE,
        text=True,
        start_new_session=True,
    )
    folder = outputs / "stopped"
    if moment == "plan":
        wait_until(lambda: _children(process.pid))
    elif moment == "check":
        wait_until(lambda: list((folder / "jobs").glob("*.yaml")))
    else:
        wait_until(lambda: list(folder.glob("*/history.json")))
    group = [process.pid, *_children(process.pid)]
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    out, err = process.communicate(timeout=300)
    # Python ends by the signal itself where Ctrl-C met an exec() of text, as dataclasses do: a shell calls both 130
    assert process.returncode in (130, -signal.SIGINT), err
    assert "Traceback" not in err
    wait_until(lambda: not any(_alive(pid) for pid in group))
    if moment == "run":
        assert "preempted" in out
        assert {job.state() for job in read_study("stopped").jobs} <= {"preempted", "queued"}


def _children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
