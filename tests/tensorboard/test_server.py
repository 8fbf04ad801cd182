"""`siamese-lab board`: the real server over a real small study, asked through its HTTP API and looked at in a
browser.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import pytest

from siamese_lab.cli import main
from siamese_lab.runs.study import Study
from tests.conftest import FEW, ROOT, run

POINTS = [
    ("loss=triplet", "loss.margin=0.2"),
    ("loss=triplet", "loss.margin=0.5"),
    ("loss=supcon", "loss.temperature=0.2"),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of a server over three runs whose losses have different parameters, and their metrics."""
    patch = pytest.MonkeyPatch()
    patch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path_factory.mktemp("outputs")))
    found = [run(*FEW, *point, "study=shown", "trainer.max_epochs=2") for point in POINTS]
    command = [sys.executable, "-m", "siamese_lab", "board", "shown", "--port", "0"]
    server = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    address = re.search(r"http://\S+[^/\s]", server.stdout.readline())[0]
    until = time.monotonic() + 400
    while time.monotonic() < until:
        try:
            if len(runs_of(address)) == len(POINTS):
                break
        except OSError:
            pass
        time.sleep(0.3)
    yield address, [metrics for _, metrics in found]
    server.send_signal(signal.SIGINT)
    assert server.wait(300) == 0
    server.stdout.close()
    patch.undo()


def ask(address, body=None):
    request = urllib.request.Request(address, data=None if body is None else json.dumps(body).encode())  # noqa: S310 - our own server
    if body is not None:
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        return answer.read()


def runs_of(address):
    """The names of the runs; the columns of the study are listed as "."."""
    return [name for name in json.loads(ask(f"{address}/data/runs")) if name != "."]


def test_runs_have_readable_names(served):
    names = runs_of(served[0])
    assert len(names) == 3, names
    assert sum("loss=triplet" in name and "margin=0.5" in name for name in names) == 1
    assert sum("loss=supcon" in name and "temperature=0.2" in name for name in names) == 1


def test_all_runs_have_all_their_values_and_best_figures(served):
    address, metrics = served
    experiment = json.loads(ask(f"{address}/data/plugin/hparams/experiment", {"experimentName": "0"}))
    columns = {column["name"] for column in experiment["hparamInfos"]}
    assert {"loss", "loss.margin", "loss.temperature", "seed"} <= columns
    assert "best/verification/eer" in [info["name"]["tag"] for info in experiment["metricInfos"]]
    wanted = {
        "experimentName": "0",
        "allowedStatuses": ["STATUS_SUCCESS"],
        "colParams": [{"metric": info["name"]} for info in experiment["metricInfos"]],
        "startIndex": 0,
        "sliceSize": 100,
    }
    groups = json.loads(ask(f"{address}/data/plugin/hparams/session_groups", wanted))["sessionGroups"]
    assert len(groups) == 3
    seen = {
        (g["hparams"]["loss"], g["hparams"].get("loss.margin"), g["hparams"].get("loss.temperature")) for g in groups
    }
    assert seen == {("triplet", 0.2, None), ("triplet", 0.5, None), ("supcon", None, 0.2)}
    figures = sorted(
        value["value"] for g in groups for value in g["metricValues"] if value["name"]["tag"] == "best/verification/eer"
    )
    assert figures == pytest.approx(sorted(one["best"] for one in metrics), rel=1e-5)


def test_a_browser_shows_the_table(served):
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium and its driver are needed: .ci/run installs them")
        pytest.skip("no Chromium")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as profile:
        flags = (
            "headless=new",
            "no-sandbox",
            "disable-gpu",
            "disable-quic",
            "no-first-run",
            "disable-background-networking",
        )
        for flag in (*flags, "disable-component-update", "disable-sync", f"user-data-dir={profile}"):
            options.add_argument(f"--{flag}")
        browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            browser.get(f"{served[0]}/#hparams")
            script = (
                "function text(n) { let t = n.textContent || ''; if (n.shadowRoot) t += text(n.shadowRoot);"
                " for (const c of n.children || []) t += text(c); return t; } return text(document.body);"
            )
            WebDriverWait(browser, 300).until(lambda b: "supcon" in b.execute_script(script))
            assert "loss.margin" in browser.execute_script(script)
        finally:
            browser.quit()


def test_bad_input(outputs, capsys):
    assert main(["board"]) == 2
    assert "holds no run yet" in capsys.readouterr().err
    Study("empty", {}, []).write()
    for words, said in (
        (["nowhere"], "no study nowhere with runs: there are empty"),
        (["empty", "--port", "70000"], "--port must be 0 to 65535"),
        (["empty", "--host", "no.such.host.invalid"], "give another --host"),
    ):
        assert main(["board", *words]) == 2
        assert said in capsys.readouterr().err
    with socket.create_server(("localhost", 0)) as taken:
        assert main(["board", "empty", "--port", str(taken.getsockname()[1])]) == 2
    assert "--port 0 takes any free one" in capsys.readouterr().err


def test_runs_that_failed_or_run_are_shown_too(outputs):
    """What a run has written is enough: its values, its state, its best figure so far."""
    from siamese_lab.runs.job import Job
    from siamese_lab.tensorboard.logdir import LogDir

    folder, _ = run(*FEW, "study=mixed", "trainer.max_epochs=2")
    other, _ = run(*FEW, "study=mixed", "trainer.max_epochs=2", "seed=1")
    other.update(state="diverged")
    jobs = [Job("mixed", one.run_id, {"seed": str(seed)}) for seed, one in enumerate((folder, other))]
    Study("mixed", {"seed": ["0", "1", "2"]}, [*jobs, Job("mixed", "0" * 12, {"seed": "2"})]).write()
    scratch = outputs / "view"
    scratch.mkdir()
    assert LogDir(scratch, [outputs / "mixed"]).refresh() == 2  # the third has not begun
    names = {path.name for path in scratch.iterdir() if path.is_dir()}
    assert {"seed=0", "seed=1"} <= names
