"""A callback of the user's own says itself whether it takes part in the run's identity."""

from pathlib import Path

import pytest
import pytorch_lightning as pl

from siamese_lab.config.compose import compose
from siamese_lab.config.identity import resolved_hash


class OnlyWatches(pl.Callback):
    """Counts batches."""

    changes_result = False

    def __init__(self, every: int = 1) -> None:
        self.every = every


class Steers(OnlyWatches):
    """Says so."""

    changes_result = True


class SaysNothing(pl.Callback):
    """Takes part, to be safe."""

    def __init__(self, every: int = 1) -> None:
        self.every = every


@pytest.fixture
def run_id(tmp_path: Path):
    (tmp_path / "callback").mkdir()
    for name, target in (("watches", "OnlyWatches"), ("steers", "Steers"), ("silent", "SaysNothing")):
        (tmp_path / "callback" / f"{name}.yaml").write_text(
            f"{name}:\n  _target_: tests.callbacks.test_own.{target}\n  every: 1 # steps\n", encoding="utf-8"
        )
    return lambda *words: resolved_hash(compose(["data=glyphs", *words], [tmp_path]), "data")


def test_a_callback_that_only_watches_does_not_change_the_run_id(run_id) -> None:
    plain = run_id("callback=[]")
    assert plain == run_id("callback=[watches]") == run_id("callback=[watches]", "callback.watches.every=3")
    assert plain == run_id("callback=[doctor,watches,ledger]") == run_id()


@pytest.mark.parametrize("name", ["steers", "silent"])
def test_any_other_callback_does_and_so_do_its_parameters(run_id, name: str) -> None:
    ids = {
        run_id("callback=[]"),
        run_id(f"callback=[{name}]"),
        run_id(f"callback=[{name}]", f"callback.{name}.every=3"),
    }
    assert len(ids) == 3
