"""Plain keys out of their range: one message before anything is written, from `train` and from `check`."""

from datetime import timedelta

import pytest

from siamese_lab.cli import main
from siamese_lab.config.ranges import LIMITS, duration
from tests.conftest import FEW, SMALL

BAD = [
    ("seed=-1", "seed must be >= 0, got -1"),
    ("seed=18446744073709551616", "seed must be < 9223372036854775808"),
    ("trainer.devices=0", "trainer.devices must be >= 1, got 0"),
    ("trainer.max_epochs=0", "trainer.max_epochs must be >= 1"),
    ("trainer.max_epochs=-1", "trainer.max_epochs must be >= 1"),
    ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val must be > 0"),
    ("trainer.patience=0", "trainer.patience must be >= 1"),
    ("trainer.validate_every=0", "trainer.validate_every must be >= 1"),
    ("trainer.checkpoint_every=0", "trainer.checkpoint_every must be >= 1"),
    ("trainer.chunk=0", "trainer.chunk must be >= 1"),
    ("trainer.workers=-1", "trainer.workers must be >= 0"),
    ("evaluation.batch_size=0", "evaluation.batch_size must be >= 1"),
    ("evaluation.views=0", "evaluation.views must be >= 1"),
    ("trainer.max_time=abc", "HH:MM:SS"),
    ("trainer.max_time=1:30", "HH:MM:SS"),
    ("trainer.max_time=-1", "trainer.max_time must be > 0"),
    ("trainer.max_time=00:00:00", "trainer.max_time must be > 0"),
    ("trainer.ema=1", "trainer.ema must lie in (0, 1)"),
    ("optimizer.lr=-1", "Invalid learning rate"),
    ("optimizer.lr=0", "would train nothing"),
    ("optimizer.schedule.warmup=2", "warmup must lie in [0, 1)"),
    ("optimizer.groups=[{match:bakbone}]", "matches no parameter"),
]


@pytest.mark.parametrize("verb", ["train", "check"])
@pytest.mark.parametrize(("word", "message"), BAD)
def test_out_of_range(outputs, capsys, verb, word, message):
    assert main([verb, *SMALL, *FEW, word]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert not outputs.exists()


def test_every_limit_is_tried():
    assert {key for key, *_ in LIMITS} <= {word.partition("=")[0] for word, _ in BAD}


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [("00:04:00", 240), (4, 240), (0.5, 30), ("1:2:3", 3723), ("100:00:00", 360_000), (1e300, 6e8), (None, None)],
)
def test_durations(limit, seconds):
    assert duration(limit) == (None if seconds is None else timedelta(seconds=seconds))
