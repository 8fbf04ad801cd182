"""Two processes that want the same: one waits or is refused with the reason, and what a dead one left is taken over."""

import hashlib
import json
import os
import signal
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from filelock import FileLock

from siamese_lab.cli import main
from siamese_lab.core.files import write_json
from siamese_lab.runs.find import find_run
from siamese_lab.runs.folder import LabError, RunFolder, run_folder
from siamese_lab.tensorboard import hparams
from tests import _commands
from tests.conftest import FEW, ROOT, SMALL

# SMALL has its own max_epochs
LONG = [
    "train",
    *SMALL[:6],
    *SMALL[7:],
    *FEW,
    "trainer.max_epochs=5000",
    "trainer.progress=true",
]


def start(folder, *command, **environment):
    """A process of its own, in `folder`, whose outputs lie there too."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "SIAMESE_LAB_OUTPUTS": str(folder / "outputs")} | environment
    return _commands.start(
        command,
        cwd=folder,
        env=env,
        stdout=_commands.PIPE,
        stderr=_commands.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process):
    """Its exit code, and what it said."""
    out, err = process.communicate(timeout=800)
    assert "Traceback" not in err, err
    return process.returncode, out + err


STORE = """
import sys, time
import numpy as np
from siamese_lab.data.store import open_store

def chunks(extra):
    extra["by"] = sys.argv[1]
    for part in range(4):
        print(part, flush=True)
        time.sleep(float(sys.argv[2]))
        yield np.full((8, 1, 4, 4), part, np.uint8)

made = open_store("both", "key", chunks)
print("got", made.content, made.extra["by"], tuple(made.images.shape), flush=True)
"""


def test_one_store_is_built_once(tmp_path):
    both = [start(tmp_path, "-c", STORE, name, "0.3", SIAMESE_LAB_CACHE=str(tmp_path)) for name in ("a", "b")]
    said = [ended(process) for process in both]
    assert [code for code, _ in said] == [0, 0]
    parts = [text.splitlines() for _, text in said]
    assert sorted(len(lines) for lines in parts) == [1, 5]  # one built it, the other waited
    assert parts[0][-1] == parts[1][-1]  # and found the same
    assert sorted(path.suffix for path in (tmp_path / "store").iterdir()) == [".json", ".lock", ".u8"]


def test_a_store_whose_builder_was_killed_is_built_by_the_one_that_waited(tmp_path):
    first = start(tmp_path, "-c", STORE, "a", "600", SIAMESE_LAB_CACHE=str(tmp_path))
    assert first.stdout.readline() == "0\n"
    second = start(tmp_path, "-c", STORE, "b", "0", SIAMESE_LAB_CACHE=str(tmp_path))
    time.sleep(1)
    assert second.poll() is None  # it waits
    os.kill(first.pid, signal.SIGKILL)
    code, text = ended(second)
    assert (code, "b (32, 1, 4, 4)" in text) == (0, True), text
    first.communicate()


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A folder in which a process trains, and that process; it has a checkpoint already."""
    folder = tmp_path_factory.mktemp("both")
    process = start(folder, "-m", "siamese_lab", *LONG)
    for line in process.stderr:
        if line.startswith("epoch 2/"):
            break
    reader = threading.Thread(target=process.stderr.read, daemon=True)  # so that it never waits for one
    reader.start()
    yield folder, process
    with process:
        process.kill()
        reader.join()


@pytest.mark.parametrize(
    "words",
    [LONG, [*LONG, "--force"], ["resume"], ["evaluate"], ["verify"]],
    ids=["train", "force", "resume", "evaluate", "verify"],
)
def test_a_run_that_is_trained_is_left_alone(training, monkeypatch, capsys, words):
    folder, process = training
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(folder / "outputs"))
    (run,) = (path.parent for path in (folder / "outputs").glob("single/*/run.json"))
    names = {"resume": [str(run)], "evaluate": [str(run)], "verify": [str(run), "a.png", "b.png"]}.get(words[0], [])
    assert main([*words, *names]) == 2
    assert f"is running now, as process {process.pid} on" in capsys.readouterr().err
    assert process.poll() is None
    assert list(run.glob("checkpoints/*.ckpt"))


def test_of_two_that_begin_together_one_is_refused(tmp_path):
    words = ["train", *SMALL, *FEW]
    both = [start(tmp_path, "-m", "siamese_lab", *words) for _ in range(2)]
    (code, text), (other_code, other_text) = sorted(ended(process) for process in both)
    assert (code, "Test figures" in text) == (0, True)
    if other_code == 2:
        assert any(f"is running now, as process {process.pid} on" in other_text for process in both), other_text
    else:  # the first one was done before the second one came to it
        assert (other_code, "is finished: these are its figures" in other_text) == (0, True)
    (path,) = tmp_path.glob("outputs/single/*/run.json")
    assert RunFolder(path.parent).state() == "ok"


HELD = """
import sys, time
from pathlib import Path
from siamese_lab.runs.folder import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(600)
"""


def test_what_a_dead_process_held_is_taken_over(outputs, tmp_path):
    run = run_folder("single", "0123456789ab")
    process = start(tmp_path, "-c", HELD, str(run.path))
    assert process.stdout.readline() == "held\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with run.lock():
        run.create()


def test_a_number_that_has_gone_to_another_process_is_not_the_run(outputs):
    run = run_folder("single", "0123456789ab")
    run.create()
    assert run.state() == "running"
    run.update(ticks=run.info()["ticks"] - 1)  # a process of this number, but one that began earlier
    assert run.state() == "killed"


READER = """
import sys
from pathlib import Path
from siamese_lab.core.errors import LabError
from siamese_lab.runs.folder import RunFolder
run, seen = RunFolder(Path(sys.argv[1])), set()
print("reads", flush=True)
while "ok" not in seen:
    seen.add(run.state())
print(sorted(seen))
"""


def test_a_reader_never_sees_half_a_run_json(outputs, tmp_path):
    run = run_folder("single", "0123456789ab")
    run.create()
    process = start(tmp_path, "-c", READER, str(run.path))
    assert process.stdout.readline() == "reads\n"
    for number in range(300):
        run.update(headlines=["verification/eer"] * number)
    run.finish("ok")
    assert ended(process) == (0, "['ok', 'running']\n")


COLUMNS = """
import sys
from siamese_lab.runs.folder import run_folder
from siamese_lab.tensorboard.hparams import write_columns
run = run_folder("study", sys.argv[1])
run.create()
run.update(hparams={sys.argv[1]: 1.0}, headlines=["verification/eer"])
for _ in range(10):
    write_columns(run.path.parent)
"""


def test_runs_of_one_study_that_end_together_are_all_in_its_columns(outputs, tmp_path):
    names = [f"{letter}00000000000" for letter in "abc"]
    assert [ended(process)[0] for process in [start(tmp_path, "-c", COLUMNS, name) for name in names]] == [0, 0, 0]
    content = (outputs / "study" / "events.out.tfevents.columns").read_bytes()
    assert all(name.encode() in content for name in names)
    assert not list((outputs / "study").glob(".events*"))


def test_columns_of_a_study_from_which_a_run_is_removed_meanwhile(outputs):
    run = run_folder("study", "a00000000000")
    run.create()
    stop = threading.Event()

    def remove():
        while not stop.is_set():
            (run.path / "run.json").unlink(missing_ok=True)
            write_json(run.path / "run.json", {"schema": 2})

    other = threading.Thread(target=remove)
    other.start()
    try:
        for _ in range(50):
            hparams.write_columns(run.path.parent)
            RunFolder(outputs / "study" / "b00000000000").short_id  # noqa: B018 - it looks through all runs
            with pytest.raises(LabError):
                find_run("nothing")
    finally:
        stop.set()
        other.join()


DOWNLOAD = """
import sys
from pathlib import Path
from siamese_lab.data.download import download
print(download(sys.argv[1], Path("file.bin"), sys.argv[2]).stat().st_size)
"""


def test_one_file_is_downloaded_once(tmp_path):
    content = bytes(range(256)) * 40_000
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "file.bin").write_bytes(content)
    asked = []

    class Site(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Site, directory=str(tmp_path / "site")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url, checksum = (
            f"http://127.0.0.1:{server.server_port}/file.bin",
            f"sha256:{hashlib.sha256(content).hexdigest()}",
        )
        both = [start(tmp_path, "-c", DOWNLOAD, url, checksum, no_proxy="*") for _ in range(2)]
        assert [ended(process) for process in both] == [(0, f"{len(content)}\n")] * 2
    finally:
        server.shutdown()
        server.server_close()
    assert len(asked) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.bin", "file.bin.lock", "site"]


def test_a_lock_that_nobody_can_have_is_not_waited_for(outputs, monkeypatch):
    """A run's lock is asked for once."""

    def waits(seconds):
        raise AssertionError("it waits for the lock")

    run = run_folder("single", "0123456789ab")
    run.create()
    with FileLock(run.path.with_name(f".{run.run_id}.lock")), monkeypatch.context() as patch:
        patch.setattr(time, "sleep", waits)
        with pytest.raises(LabError, match="is running now"), run.lock():
            pass
    assert json.loads((run.path / "run.json").read_text())["state"] == "running"
