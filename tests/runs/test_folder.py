"""The run folder: states, whole files, finding a run."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from siamese_lab.core import paths
from siamese_lab.core.errors import LabError
from siamese_lab.core.files import read_json, write_json, write_text
from siamese_lab.runs.find import find_run
from siamese_lab.runs.folder import EXIT_CODES, RunFolder, run_folder
from siamese_lab.runs.provenance import code_hash
from tests import _commands


@pytest.fixture(autouse=True)
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path / "out"))
    return tmp_path / "out"


def test_a_run_from_begin_to_end(outputs: Path) -> None:
    run = run_folder("single", "0123456789ab")
    assert not run.exists()
    run.create(decided={"precision": "32-true"})
    assert run.path == outputs / "single" / "0123456789ab"
    assert (run.state(), run.study, run.run_id) == ("running", "single", "0123456789ab")
    info = run.info()
    assert info["decided"] == {"precision": "32-true"}
    assert (info["pid"], info["host"], info["command"]) == (os.getpid(), socket.gethostname(), sys.argv)
    assert set(info["versions"]) == {"python", "torch", "pytorch-lightning", "siamese-lab"}
    assert info["code"] == code_hash()
    run.update(images_per_second=12.5)
    assert run.finish("ok") == 0
    info = run.info()
    assert (info["state"], info["images_per_second"]) == ("ok", 12.5)
    assert info["seconds"] >= 0
    assert info["ended"] >= info["started"]


def test_every_final_state_has_its_own_exit_code() -> None:
    assert set(EXIT_CODES) == {"ok", "failed", "diverged", "oom", "pruned", "preempted", "killed", "timeout"}
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)
    assert 2 not in EXIT_CODES.values()  # bad input: nothing was begun
    run = run_folder("single", "a")
    run.create()
    with pytest.raises(ValueError, match="a run ends in one of"):
        run.finish("fine")
    assert run.finish("oom") == EXIT_CODES["oom"]


def test_a_run_is_not_overwritten_unless_forced() -> None:
    run = run_folder("single", "a")
    run.create()
    with pytest.raises(LabError, match="is running now, as process"):
        run.create(force=True)
    run.finish("diverged")
    (run.path / "old.txt").write_text("x")
    with pytest.raises(LabError, match=r"there already \(diverged\): start it anew with --force"):
        run.create()
    run.create(force=True)
    assert not (run.path / "old.txt").exists()
    assert run.state() == "running"


def test_a_run_whose_process_is_gone_was_killed() -> None:
    code = (
        "from siamese_lab.runs.folder import run_folder; run_folder('single', 'gone').create(); import os; os._exit(9)"
    )
    assert _commands.run(["-c", code]).returncode == 9
    run = run_folder("single", "gone")
    assert run.info()["state"] == "running"
    assert run.state() == "killed"
    run.update(host="elsewhere")  # of another machine's processes nothing is known
    assert run.state() == "running"


def test_find(outputs: Path) -> None:
    for study, name in (("single", "abc1"), ("single", "abd2"), ("sweep", "abc3")):
        run_folder(study, name).create()
    assert find_run("abd").path == outputs / "single" / "abd2"
    assert find_run("abc3").study == "sweep"
    assert find_run(str(outputs / "single" / "abc1")).run_id == "abc1"
    with pytest.raises(LabError, match="2 runs begin with abc"):
        find_run("abc")
    for name in ("zzz", "", str(outputs)):
        with pytest.raises(LabError, match=r"no run .* the latest: "):
            find_run(name)


def test_find_where_nothing_ever_ran() -> None:
    with pytest.raises(LabError, match="which holds no run yet"):
        find_run("abc")


@pytest.mark.parametrize("study", ["", "..", ".hidden", "a/b", "/etc"])
def test_a_study_is_a_plain_folder_name(study: str) -> None:
    with pytest.raises(LabError, match="study must be a plain folder name"):
        run_folder(study, "abc")


def test_outputs_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path / "file" / "out"))
    with pytest.raises(LabError, match=r"cannot write to .*SIAMESE_LAB_OUTPUTS=/another/folder") as caught:
        run_folder("single", "a").create()
    assert caught.value.exit_code == 2


def test_outputs_on_a_read_only_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", folder], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if mounted.returncode:
        pytest.skip("this user may not mount a read-only disk")
    try:
        monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(folder / "out"))
        with pytest.raises(LabError, match=r"cannot write to .*Read-only file system"):
            run_folder("single", "a").create()
    finally:
        subprocess.run(["umount", folder], check=True)


def test_default_outputs_is_in_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIAMESE_LAB_OUTPUTS")
    assert paths.outputs() == Path("outputs")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"schema": 2})
    with pytest.raises(TypeError):
        write_json(path, {"schema": object()})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half" * 100_000 + "\ud800")
    assert read_json(path) == {"schema": 2}
    assert list(tmp_path.glob(".a.json*")) == []
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    code = f"""
from pathlib import Path
from siamese_lab.core.files import write_json
n = 0
while True:
    n += 1
    write_json(Path({str(path)!r}), {{"schema": 2, "numbers": [n] * 5000}})
"""
    writer = _commands.start(["-c", code])
    try:
        deadline = time.monotonic() + 300
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        for _ in range(200):  # while it writes
            assert len(set(read_json(path)["numbers"])) == 1
    finally:
        writer.kill()
        writer.wait()
    assert len(set(read_json(path)["numbers"])) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 2, "state": "o', "is broken"),
        ("", "is broken"),
        ("\udcff", "is broken"),
        ("[1]", "must hold a mapping, got list"),
        ("{}", "has schema None"),
        (json.dumps({"schema": 1}), r"was written by an earlier version of siamese-lab \(schema 1, this one reads 2\)"),
        (json.dumps({"schema": 99}), "has schema 99, this version of siamese-lab reads 2: update"),
    ],
)
def test_read_json_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(LabError, match=message):
        RunFolder(tmp_path).info()


def test_read_json_of_a_missing_file_and_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="is missing"):
        RunFolder(tmp_path).info()
    (tmp_path / "run.json").mkdir()
    with pytest.raises(LabError, match="cannot read"):
        RunFolder(tmp_path).info()


def test_code_hash_sees_every_source_and_option(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    for name in ("siamese_lab", "conf"):
        subprocess.run(["cp", "-r", root / name, tmp_path], check=True)

    def fresh() -> str:
        code = "from siamese_lab.runs.provenance import code_hash; print(code_hash())"
        return subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.strip()

    assert len(code_hash()) == 12
    before = fresh()
    with (tmp_path / "siamese_lab" / "stats.py").open("a") as file:
        file.write("\n")
    assert fresh() != before
    changed = fresh()
    (tmp_path / "conf" / "loss").mkdir(exist_ok=True)
    (tmp_path / "conf" / "loss" / "new.yaml").write_text("a: 1\n")
    assert fresh() != changed
