"""A command as a user gives it, in this process, and what the user reads."""

import copy
import hashlib
import io
import re
import warnings
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

from siamese_lab.cli import main
from siamese_lab.config import compose
from siamese_lab.data.images import Fit
from siamese_lab.datasets import _omniglot_files as omniglot_files
from tests.security._bytes import drawings

QUICK = (
    "backbone.width=4",
    "sampling.batch_size=4",
    "sampling.per_class=2",
    "sampling.steps=1",
    "protocol=[verification]",
)
SMALL_OMNIGLOT = ("data.split=vinyals", "data.validation_characters=0", "data.size=16")


class Said(NamedTuple):
    code: int
    out: str
    err: str


def command(*words: str) -> Said:
    """`siamese-lab WORDS`. Warnings come as the command line prints them; pytest would make errors of them."""
    out, err = io.StringIO(), io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(out), redirect_stderr(err):
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: err.write(warnings.formatwarning(message, UserWarning, "", 0))
        code = main(words)
    return Said(code, out.getvalue(), err.getvalue())


def one_line(said: Said, code: int, words: str = "") -> None:
    """Sees to the exit code, and that stderr is one line of the lab with these words (a pattern), or, for "",
    nothing.
    """
    assert said.code == code, said
    assert "Traceback" not in said.err
    if not words:
        assert said.err == ""
        return
    assert said.err.startswith("siamese-lab: "), said.err
    assert said.err.count("\n") == 1, said.err
    assert said.err.rstrip("\n").isprintable(), ascii(said.err)
    assert re.search(words, said.err.rstrip("\n")), said.err


real_compose = compose._compose


COMPOSED_ONCE = {}


def composed_once(chosen, dirs):
    """Hydra takes three times as long as everything else, and the words of most cases are the same: each is composed
    once.
    """
    words = (*(o.input_line for o in chosen), *dirs)
    if words not in COMPOSED_ONCE:
        COMPOSED_ONCE[words] = real_compose(chosen, dirs)
    return copy.deepcopy(COMPOSED_ONCE[words])


def small_omniglot(monkeypatch) -> None:
    """Makes `hostile_bytes.drawings()` the content that Omniglot has to have: whatever else comes is refused."""
    named = [(re.sub(r"/\d{4}_(\d\d)\.png$", r"/\1", name), data) for name, data in drawings()]
    lines = [f"{name} {omniglot_files.hash_drawing(Fit(28, invert=True).decode(data))}" for name, data in named]
    monkeypatch.setattr(omniglot_files, "CHARACTERS", {"images_background": 2})
    monkeypatch.setattr(
        omniglot_files, "CONTENT", {"images_background": hashlib.sha256("\n".join(lines).encode()).hexdigest()}
    )
