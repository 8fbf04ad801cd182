"""The trials of a search in storages that processes share and die with."""

import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from siamese_lab.core.errors import LabError
from siamese_lab.sweep.search import storage
from siamese_lab.sweep.search.trials import is_point, latest_trials
from tests import _commands
from tests.conftest import ROOT
from tests.sweep.search._helpers import WORDS, go, source, space_of


def searching(outputs, seconds, total, storage):
    """Starts a process that searches."""
    outputs.mkdir(exist_ok=True)
    command = ["-m", "tests.sweep.search._helpers", str(seconds), str(total), storage]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return _commands.start(
        command, stdout=_commands.PIPE, stderr=_commands.PIPE, text=True, env=environment, cwd=outputs
    )


def told(process):
    """What a process that has ended has trained: {"began": run ids, "ended": run ids}."""
    out, err = process.communicate(timeout=600)
    assert process.returncode in (0, -signal.SIGKILL), err
    assert not err
    lines = [line.split() for line in out.splitlines()]
    return {word: [run for what, run in lines if what == word] for word in ("began", "ended")}


@pytest.mark.parametrize("storage", ["sqlite", pytest.param("journal", marks=pytest.mark.slow)])
def test_two_processes_share_a_search_and_one_is_killed(outputs, storage):
    total = 10
    dies = searching(outputs, 600, total, storage)
    assert "began" in dies.stdout.readline()
    stays = searching(outputs, 0.1, total, storage)
    first = stays.stdout.readline().split()[1]
    dies.kill()  # in the middle of its first run
    one = told(stays)
    assert not told(dies)["ended"]
    assert dies.returncode == -signal.SIGKILL
    search = source(space_of(*WORDS), total, storage=storage)
    assert [t.state.name for t in latest_trials(search.trials.all()).values()] == ["COMPLETE"] * total
    lost = [t.user_attrs["run"] for t in search.trials.all() if t.state.name == "FAIL" and is_point(t)]
    assert len(lost) == 1
    assert lost[0] in one["ended"]  # tried again by the one that was left
    known = {t.user_attrs["run"] for t in latest_trials(search.trials.all()).values()}
    assert Counter([first, *one["began"]]) == Counter(known)  # nothing is trained twice
    assert go(source(space_of(*WORDS), total, storage=storage)) == []


def test_everything_at_once_is_killed_and_the_next_call_goes_on(outputs):
    both = [searching(outputs, 0.4, 8, "sqlite") for _ in range(2)]
    for process in both:
        assert "began" in process.stdout.readline()
    for process in both:
        process.kill()
    before = [run for process in both for run in told(process)["ended"]]
    search = source(space_of(*WORDS), 8, storage="sqlite")
    search.trials.end_lost()
    jobs = [job.run_id for job in go(search)]
    assert len(latest_trials(search.trials.all())) == 8
    assert set(jobs) | set(before) <= {t.user_attrs["run"] for t in latest_trials(search.trials.all()).values()}


def test_a_half_written_line_of_a_journal_spoils_nothing(outputs):
    first = go(source(space_of(*WORDS), 3, storage="journal"))
    journal = outputs / "s" / "search" / "trials.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"worker_id":"x","st')
    again = source(space_of(*WORDS), 4, storage="journal")
    assert len(latest_trials(again.trials.all())) == len(first)
    assert len(go(again)) == 1
    assert journal.read_bytes().startswith(whole)


def test_a_broken_file_is_one_clear_message(outputs):
    folder = outputs / "s" / "search"
    folder.mkdir(parents=True)
    for kind in ("sqlite", "journal"):
        (folder / f"trials.{kind}").write_bytes(b"no database, no journal\n" * 100)
        with pytest.raises(LabError, match=f"the search's storage {kind} does not answer"):
            storage.open_study(kind, folder, "s", "low")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "postgresql+psycopg2://nobody@localhost/none",
            "needs a database driver that is not installed: .*pip install 'psycopg",
        ),
        ("mysql+mysqldb://nobody@localhost/none", "needs a database driver that is not installed"),
        ("nosuch://nobody@localhost/none", "needs a database driver that is not installed"),
    ],
)
def test_a_missing_driver_is_one_clear_message(outputs, url, words):
    with pytest.raises(LabError, match=words) as caught:
        storage.open_study(url, outputs / "s" / "search", "s", "low")
    assert "\n" not in str(caught.value)


def test_without_optuna_the_message_names_the_extra(outputs, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(LabError, match=r"pip install 'siamese-lab\[search\]'"):
        storage.open_study("sqlite", outputs / "s" / "search", "s", "low")


def test_without_cmaes_the_message_names_the_extra(outputs, monkeypatch):
    monkeypatch.setitem(sys.modules, "cmaes", None)
    drawn = source(space_of("loss.margin=interval(0,1)", "optimizer.lr=interval(0,1)"), 3, "cmaes")
    with pytest.raises(LabError, match=r"the package cmaes.*pip install 'siamese-lab\[search\]'"):
        drawn.next_job()


def test_a_network_disk_is_known_by_its_mount():
    assert storage.network_disk(Path("/proc")) is None
    assert "nfs4" in storage.NETWORK


@pytest.mark.slow
def test_a_process_that_only_writes_does_not_wait_for_ever(outputs):
    """SQLite's writers wait for each other instead of failing at once."""
    both = [searching(outputs, 0, 12, "sqlite") for _ in range(2)]
    runs = [run for process in both for run in told(process)["ended"]]
    assert len(set(runs)) == len(runs) == 12
