"""What each verb leaves unimported: a command pays only for what it needs."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from tests.conftest import ROOT, SMALL, run

TORCH = ("torch", "scipy.signal", "scipy.stats", "torch._dynamo", "torchvision")
LIGHTNING = ("pytorch_lightning", "lightning_fabric", "torchmetrics", "torchvision", "torch._dynamo", "scipy.signal")
UNUSED = {
    "--help": (*TORCH, *LIGHTNING, "hydra", "omegaconf", "numpy", "rich", "matplotlib", "PIL"),
    "train --help": (*TORCH, *LIGHTNING, "hydra", "omegaconf", "numpy", "rich", "matplotlib", "PIL"),
    "show": (*TORCH, *LIGHTNING, "hydra", "numpy", "matplotlib"),
    "show loss triplet": (*LIGHTNING, "hydra", "matplotlib"),
    "status study --once": (*TORCH, *LIGHTNING, "hydra", "omegaconf", "numpy", "matplotlib"),
    "rerun study --print": (*TORCH, *LIGHTNING, "hydra", "omegaconf", "numpy", "matplotlib"),
    "diff RUN RUN": (*TORCH, *LIGHTNING, "hydra", "numpy", "matplotlib"),
    "compare study": (*TORCH, *LIGHTNING, "hydra", "omegaconf"),
    "compare study --open-test": LIGHTNING,
    "verify RUN a.png b.png": (*LIGHTNING, "matplotlib", "rich"),
    "evaluate RUN": (*LIGHTNING, "matplotlib"),
}
ASK = """
import json, sys
from siamese_lab.cli import main

code = main(sys.argv[1:])
print("\\n" + json.dumps([code, sorted(sys.modules)]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run, a study of two runs, and two images."""
    from siamese_lab.cli import main

    folder = tmp_path_factory.mktemp("imports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIAMESE_LAB_OUTPUTS", str(folder / "outputs"))
        small = [*SMALL, "trainer.max_epochs=1", "sampling.steps=2", "sampling.batch_size=96"]
        single, _ = run(*small)
        assert main(["train", "-m", "study=study", *small, "seed=1,2"]) == 0
    for name in ("a.png", "b.png"):
        Image.new("L", (16, 16), 128).save(folder / name)
    (folder / "run").write_text(single.run_id)
    return folder


@pytest.mark.parametrize("words", UNUSED)
def test_what_a_verb_leaves_unimported(folder, words):
    env = os.environ | {"PYTHONPATH": str(ROOT), "SIAMESE_LAB_OUTPUTS": str(folder / "outputs")}
    given = words.replace("RUN", (folder / "run").read_text()).split()
    done = subprocess.run(
        [sys.executable, "-c", ASK, *given], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    code, imported = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    assert not set(UNUSED[words]) & set(imported)
