"""The wheel works where there is no checkout: console script, configs included, from an empty folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from siamese_lab.runs.provenance import code_hash

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new venv that has the wheel, and everything else from the present site-packages."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # not the checkout: a build must not leave anything in it
    source.mkdir()
    for name in ("siamese_lab", "conf", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    call([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")], source)
    shutil.rmtree(source)
    call([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], folder)
    python = folder / "venv" / "bin" / "python"
    (wheel,) = (folder / "dist").glob("*.whl")
    call(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--no-deps",
            "--no-index",
            "--quiet",
            str(wheel),
        ],
        folder,
    )
    site = call([str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], folder).strip()
    # stands after the venv's own packages, and its own .pth files, which lead to the checkout, are not read
    Path(site, "host.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python.parent


def call(words: list[str], cwd: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    clean |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(words, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def test_the_package_and_its_configs_are_those_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = (
        "import siamese_lab; from siamese_lab.core.paths import config_dir; print(siamese_lab.__file__); "
        "print(config_dir())"
    )
    for place in call([str(installed / "python"), "-c", code], tmp_path).split():
        assert Path(place).is_relative_to(installed.parent)


def test_the_wheel_has_every_source_and_option(installed: Path, tmp_path: Path) -> None:
    code = "from siamese_lab.runs.provenance import code_hash; print(code_hash())"
    assert call([str(installed / "python"), "-c", code], tmp_path).strip() == code_hash()


def test_the_console_script_works_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    script = str(installed / "siamese-lab")
    assert "usage: siamese-lab VERB" in call([script, "--help"], tmp_path)
    assert "contrastive" in call([script, "show", "loss"], tmp_path)
    assert "_target_: siamese_lab.losses.triplet.TripletLoss" in call(
        [script, "train", "loss=triplet", "--cfg", "job"], tmp_path
    )
    assert list(tmp_path.iterdir()) == []
