"""The variables of a cluster's allocation, or of another distributed program, are not this run's."""

import os

import pytest

from tests import _commands
from tests.conftest import FEW, SMALL

ALLOCATION = {"SLURM_NTASKS": "2", "SLURM_JOB_ID": "7", "SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NODEID": "0"}
ELASTIC = {"RANK": "1", "LOCAL_RANK": "1", "GROUP_RANK": "0", "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"}


@pytest.mark.parametrize("variables", [ALLOCATION | ELASTIC])
def test_a_run_in_an_allocation_is_whole(tmp_path, variables):
    words = ["-m", "siamese_lab", "train", *SMALL, *FEW, "trainer.max_epochs=1"]
    done = _commands.run_fresh(words, cwd=tmp_path, env=os.environ | variables)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "outputs" / "single").glob("*/run.json")
    assert [file for file in run.parent.glob("events*") if not file.name.endswith(".board")]  # written by Lightning
    assert (run.parent / "metrics.json").is_file()
