"""What all tests share: their own cache and outputs, and a small real problem."""

import gc
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from tests import _parts as parts
from tests.compare import _studies as made_studies

ROOT = Path(__file__).parent.parent

# a real problem that trains in seconds: letters of Greek and Coptic, evaluated on Armenian (validation) and Georgian
# (test)
SMALL = [
    "data.size=16",
    "data.images_per_class=8",
    "data.train_scripts=[GREEK,COPTIC]",
    "data.val_scripts=[ARMENIAN]",
    "data.test_scripts=[GEORGIAN]",
    "backbone.width=16",
    "trainer.max_epochs=4",
    "trainer.progress=false",
    "protocol=[verification]",
    "protocol.verification.grid=64",
]
FEW = ["sampling.batch_size=96", "sampling.steps=12"]


def run(*overrides, force=False):
    """Trains on the small problem, in this process; returns the run's folder and its metrics."""
    from siamese_lab.config.compose import compose
    from siamese_lab.config.identity import resolved_hash
    from siamese_lab.core.files import read_json
    from siamese_lab.data.load import load_data
    from siamese_lab.runs.folder import run_folder
    from siamese_lab.training.assemble import assemble
    from siamese_lab.training.run import train

    cfg = compose([*SMALL, *overrides])
    samples = load_data(cfg)
    folder = run_folder(cfg.study, resolved_hash(cfg, samples.fingerprint))
    train(cfg, folder, assemble(cfg, samples=samples), force=force)
    return folder, read_json(folder.path / "metrics.json")


def mostly_slow(names, quick):
    """Parameters of a test, of which a few of every kind belong to `make test` and the others to `make test-slow`."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


gc.disable()  # until all tests are collected: nothing of that is garbage

LONGEST = [
    "test_documents.py",
    "test_ranks.py",
    "test_kills.py",
    "test_collectives.py",
    "test_cli.py",
    "test_sweep.py",
    "test_ledger.py",
    "test_trainings.py",
    "test_doctor.py",
    "test_train.py",
    "test_resume.py",
    "test_resume_everything.py",
    "test_two_at_once.py",
    "test_limits.py",
    "test_run_folders.py",
    "test_full_disk.py",
    "test_scheduler.py",
    "test_planner.py",
    "test_omniglot.py",
    "test_contracts.py",
    "test_imports.py",
    "test_local.py",
    "test_loop.py",
]
"""Files whose tests take longest."""


def pytest_addoption(parser):
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run the tests in a random order, file by file")


def pytest_collection_modifyitems(config, items):
    """Long files first: a worker that begins one at the end would keep all others waiting."""
    number = Counter(item.path for item in items)
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (rank.get(item.path.name, len(rank)), number[item.path], item.path))
    if (seed := config.getoption("shuffle")) is not None:
        draw = random.Random(seed)
        draw.shuffle(items)
        place = {path: draw.random() for path in number}
        items.sort(key=lambda item: place[item.path])


def pytest_collection_finish():
    gc.collect()
    gc.freeze()  # what is there now stays to the end, and is looked through no more
    gc.enable()


def pytest_unconfigure():
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Stores of the tests never meet the user's."""
    if "SIAMESE_LAB_CACHE" not in os.environ:
        os.environ["SIAMESE_LAB_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """A folder for runs."""
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One run that the tests of a file look at."""
    patch = pytest.MonkeyPatch()
    patch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path_factory.mktemp("outputs")))
    yield run(*FEW)
    patch.undo()


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The folder of a real run whose files `made_studies` copies."""
    patch = pytest.MonkeyPatch()
    patch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path_factory.mktemp("template")))
    folder, _ = run("sampling.batch_size=96", "sampling.steps=2", "trainer.max_epochs=1", "study=template")
    yield folder.path
    patch.undo()


@pytest.fixture
def small(template, outputs):
    """small("name", {axis: values}, ...): a made-up study under the test's outputs, see `made_studies.study`."""
    losses = {"loss": ["contrastive", "triplet"]}
    return lambda name="study", axes=None, **more: made_studies.study(template, outputs, name, axes or losses, **more)


@pytest.fixture(scope="session")
def make():
    """make("loss", "triplet", margin=0.5), see `parts.made`."""
    return parts.made


@pytest.fixture(scope="session")
def own_distance():
    """own_distance("supcon"), see `parts.own_distance`."""
    return parts.own_distance
