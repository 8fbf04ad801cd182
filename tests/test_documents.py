"""What the documents say is done to the letter: CONTRIBUTING's loss, the notebook, the README's rules and commands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT, SMALL


def test_a_loss_is_added_in_five_minutes(tmp_path):
    """Copies the package, writes the two files of CONTRIBUTING, trains by its command."""
    import shutil

    for name in ("siamese_lab", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:siamese_lab|conf)/[a-z_/]+\.(?:py|yaml))`:\n\n```\w+\n(.*?)```", text, flags=re.DOTALL)
    assert [Path(name).suffix for name, _ in named] == [".py", ".yaml"]
    for name, content in named:
        assert not (tmp_path / name).exists()
        (tmp_path / name).write_text(content)
    (command,) = re.findall(r"`siamese-lab (train loss=exponential[^`]*)`", text)
    few = ["sampling.batch_size=96", "sampling.steps=8", "trainer.max_epochs=2"]
    words = [sys.executable, "-m", "siamese_lab", *command.split(), *SMALL, *few]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    assert "verification/eer" in done.stdout
    shown = subprocess.run(
        [sys.executable, "-m", "siamese_lab", "show", "loss"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert "exponential" in shown.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.name)
def test_the_notebook_runs(path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=800, resources={"metadata": {"path": str(path.parent)}}).execute()
    pictures = sum(
        "image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])
    )
    assert pictures >= 3
    assert not any(cell.get("outputs") for cell in nbformat.read(path, as_version=4).cells), (
        "commit notebooks without output"
    )


def test_the_list_of_losses_is_up_to_date():
    code = "import sys; sys.path.insert(0, 'docs'); import make_losses; sys.stdout.write(make_losses.text())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout == (ROOT / "docs" / "losses.md").read_text(), "run `make docs`"


def test_the_readme_is_short_and_begins_with_code():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) < 150
    assert any(line.startswith("```") for line in lines[:20])
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", "\n".join(lines)):
        assert (ROOT / target).exists(), target


def test_the_readmes_overrides_compose():
    from siamese_lab.config.compose import compose
    from siamese_lab.sweep.planning.planner import plan_study

    commands = re.findall(
        r"^siamese-lab (?:train|check) (.+?)\s*(?:#.*)?$", (ROOT / "README.md").read_text(), flags=re.MULTILINE
    )
    assert commands
    for command in commands:
        words = command.replace("FOLDER", "somewhere").split()
        assert plan_study(words[1:]).jobs if words[0] == "-m" else compose(words)


def test_nothing_of_this_machine_is_committed():
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        path = ROOT / name
        if path.is_file() and path.suffix in (".py", ".yaml", ".md", ".toml", ".lock", ".ipynb", ""):
            text = path.read_text(errors="ignore")
            assert "pypi" + ".org" not in text, name
            assert "/" + "work/" not in text, name
        assert path.suffix not in (".ckpt", ".pt", ".zip"), name


def test_the_site_builds_strictly_and_fetches_nothing(tmp_path):
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    rooms = {path.parent.name for path in (ROOT / "siamese_lab").glob("*/__init__.py")}
    assert {path.name for path in (tmp_path / "site" / "api").iterdir()} == rooms
    for page in (tmp_path / "site").rglob("*.html"):
        fetched = re.findall(
            r"""<(?:script|img)[^>]+src=["'](https?:[^"']+)|<link[^>]+rel="stylesheet"[^>]+href="(https?:[^"]+)""",
            page.read_text(),
        )
        assert not fetched, page
