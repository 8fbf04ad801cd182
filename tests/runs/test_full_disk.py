"""Disks that are full, read-only, or another one than that of temporary files: runs end in a named state, and nothing
is half there.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

from siamese_lab.cli import main
from siamese_lab.model.checkpoint import newest_checkpoint, read_checkpoint
from siamese_lab.runs.folder import RunFolder
from tests.conftest import FEW, SMALL
from tests.training.test_resume import lab, only, results, same

# SMALL has its own max_epochs
WORDS = [
    "train",
    *SMALL[:6],
    *SMALL[7:],
    *FEW,
    "trainer.max_epochs=2",
    "trainer.checkpoint_every=5",
]
NO_SPACE = OSError(28, "No space left on device", "a file")

fault = {"folder": None, "at": 0, "seen": 0}


def _deny(event, given):
    """Makes the n-th opening for writing, renaming or making of a folder fail as on a full disk; Python calls this for
    each.
    """
    if fault["folder"] is None or event not in ("open", "os.rename", "os.mkdir"):
        return
    if event == "open" and not (given[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        return
    # else a file that is open already
    path = Path(os.fsdecode(given[0])) if isinstance(given[0], str | bytes | os.PathLike) else Path()
    if not path.is_relative_to(fault["folder"]) or path.suffix == ".lock" or (event == "os.mkdir" and path.exists()):
        return
    fault["seen"] += 1
    if fault["seen"] == fault["at"]:
        raise NO_SPACE


@pytest.fixture
def failing(tmp_path, monkeypatch):
    """failing(n): the n-th of such operations under the outputs fails; `failing.seen()` = how many there were."""
    if not fault.get("hooked"):
        sys.addaudithook(_deny)  # cannot be taken away again; without a folder it does nothing
        fault["hooked"] = True
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path / "outputs"))

    def fail(at):
        fault.update(folder=str(tmp_path / "outputs"), at=at, seen=0)

    yield fail
    fault["folder"] = None


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """disk("60k"): a small disk for the outputs; called again, its new size."""
    folder = tmp_path / "disk"
    folder.mkdir()
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(folder / "outputs"))

    def mount(options):
        again = ["-o", f"remount,{options}"] if folder.is_mount() else ["-o", options]
        if (
            os.geteuid() != 0
            or subprocess.run(["mount", "-t", "tmpfs", *again, "tmpfs", folder], capture_output=True).returncode
        ):
            pytest.skip("mounting a small disk is not allowed here")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", folder], check=True)


def sound(outputs):
    """Sees to it that all that a run has written is whole; returns the run, None where it was not begun."""
    written = [path for path in outputs.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    assert not [path for path in written if path.name.startswith(".")], "leftovers"
    for path in written:
        if path.suffix == ".json":
            json.loads(path.read_text())
        if path.suffix == ".ckpt":
            read_checkpoint(path)
        if path.suffix == ".tsv":
            assert path.read_text().endswith("\n")
        if "tfevents" in path.name:
            assert next(iter(RawEventFileLoader(str(path)).Load()))  # to be read as far as it goes
    found = [path.parent for path in outputs.glob("single/*/run.json")]
    return RunFolder(found[0]) if found else None


def ended(outputs, capsys, code):
    """How a run on a full disk has to end; returns it."""
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert "Traceback" not in err
    run = sound(outputs)
    if code == 2:  # nothing was begun
        assert run is None
        assert "SIAMESE_LAB_OUTPUTS=/another/folder" in err
        return None
    assert code == 1
    assert run.info()["state"] == "failed"
    assert "No space left" in run.info()["reason"]
    assert "failed after step" in err
    assert f"then `siamese-lab resume {run.short_id}` goes on" in err
    return run


@pytest.mark.parametrize("size", ["20k", "60k", "100k", "440k", "560k", "620k", "1000k", "1300k"])
def test_a_full_disk(disk, capsys, size):
    folder = disk(f"size={size}")
    ended(folder / "outputs", capsys, main(WORDS))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What a run gives that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIAMESE_LAB_OUTPUTS", str(folder / "outputs"))
        assert main(WORDS) == 0
    return results(folder)


@pytest.mark.parametrize("size", ["330k", "700k"])
def test_where_there_is_room_again_the_run_goes_on_as_if_nothing_had_been(disk, capsys, undisturbed, size):
    folder = disk(f"size={size}")
    run = ended(folder / "outputs", capsys, main(WORDS))
    assert main(["resume", str(run.path)]) == 1  # still full
    ended(folder / "outputs", capsys, 1)
    disk("size=10m")
    assert main(["resume", str(run.path)]) == 0
    assert all(same(a, b) for a, b in zip(undisturbed.values(), results(folder).values(), strict=True))
    sound(folder / "outputs")


def survives(failing, outputs, capsys, at):
    """One run whose operation number `at` fails, and what it is resumed to."""
    failing(at)
    code = main(WORDS)
    seen, fault["folder"] = fault["seen"], None
    if seen < at:
        assert code == 0
        return False
    run = ended(outputs, capsys, code)
    if run is not None and at % 3 == 0:
        assert main(["resume", str(run.path)]) == 0
        assert sound(outputs).state() == "ok"
    return True


@pytest.mark.parametrize("at", [1, 3, 4, 7, 8, 10, 12, 14, 17, 22, 28, 34, 40, 46, 52])
def test_a_write_that_fails(failing, tmp_path, capsys, at):
    assert survives(failing, tmp_path / "outputs", capsys, at)


@pytest.mark.slow
def test_every_write_that_fails(failing, tmp_path, capsys):
    at = 1
    while survives(failing, tmp_path / "outputs", capsys, at):
        subprocess.run(["rm", "-rf", tmp_path / "outputs"], check=True)
        at += 1
    assert at > 40


@pytest.mark.slow
def test_the_disk_of_temporary_files_plays_no_part(disk, tmp_path, monkeypatch):
    """Another file system, and a full one: Lightning's own checkpoints go through it."""
    temporary = disk("size=4k")
    (temporary / "all of it").write_bytes(b"x" * 4096)
    monkeypatch.setenv("TMPDIR", str(temporary))
    lab(tmp_path, *WORDS, killed="writing@4")
    run = only(tmp_path)
    assert [path.name for path in temporary.iterdir()] == ["all of it"]
    assert newest_checkpoint(run.path / "checkpoints").step == 10
    lab(tmp_path, "resume", run.run_id)
    assert [path.name for path in temporary.iterdir()] == ["all of it"]
    assert sound(tmp_path / "outputs").state() == "ok"


def test_a_run_on_a_read_only_disk_is_judged_and_not_resumed(disk, capsys):
    folder = disk("size=10m")
    assert main(WORDS) == 0
    run = sound(folder / "outputs")
    run.update(state="preempted")
    disk("ro,size=10m")
    assert main(["evaluate", str(run.path)]) == 0
    assert main(["resume", str(run.path)]) == 2
    assert "Read-only file system: SIAMESE_LAB_OUTPUTS=" in capsys.readouterr().err
