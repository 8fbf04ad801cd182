"""Messages of the command line go to standard error; results do not, and nothing stays set up afterwards."""

import io
import logging
import subprocess
import sys
from contextlib import redirect_stderr

import pytest

from siamese_lab.core.messages import LOGGER, is_quiet, on_standard_error
from tests.conftest import ROOT
from tests.security._user import command

log = logging.getLogger("siamese_lab.some.module")


def said(level: int) -> str:
    out = io.StringIO()
    with redirect_stderr(out), on_standard_error(level):
        log.debug("a detail")
        log.info("a note of 100 %")
        log.warning("a %s", "warning")
        log.error("an error")
    return out.getvalue()


@pytest.mark.parametrize(
    ("level", "lines"),
    [
        (logging.DEBUG, ["a detail", "a note of 100 %", "a warning", "an error"]),
        (logging.INFO, ["a note of 100 %", "a warning", "an error"]),
        (logging.WARNING, ["a warning", "an error"]),
    ],
)
def test_each_level_prints_what_it_says(level, lines):
    assert said(level) == "".join(f"siamese-lab: {line}\n" for line in lines)


def test_nothing_stays_set_up():
    before = LOGGER.level, LOGGER.propagate, list(LOGGER.handlers)
    said(logging.WARNING)
    assert (LOGGER.level, LOGGER.propagate, list(LOGGER.handlers)) == before
    assert not is_quiet()


def test_within_another_one_nothing_is_printed_twice():
    out = io.StringIO()
    with redirect_stderr(out), on_standard_error(logging.WARNING):
        assert is_quiet()
        log.warning("once")
    assert out.getvalue().count("once") == 1


def test_a_standard_error_that_is_closed_ends_nothing():
    closed = io.StringIO()
    closed.close()
    with redirect_stderr(closed), on_standard_error():
        log.error("nobody reads this")


@pytest.mark.parametrize("words", [["-q", "show", "loss"], ["show", "-q", "loss"], ["show", "loss", "--quiet"]])
def test_quiet_goes_before_or_after_the_verb_and_leaves_the_results(words):
    assert command(*words) == command("show", "loss")


@pytest.mark.parametrize("words", [["-v", "show", "losss"], ["show", "--verbose", "losss"]])
def test_verbose_adds_the_traceback_of_a_refusal(words):
    loud, plain = command(*words), command("show", "losss")
    assert (loud.code, plain.code) == (2, 2)
    assert "Traceback" in loud.err
    assert "Traceback" not in plain.err
    assert plain.err.strip() in loud.err


def test_quiet_leaves_errors_and_one_of_both_is_refused():
    assert command("-q", "show", "losss").err == command("show", "losss").err
    said = command("show", "-q", "-v")
    assert said.code == 2
    assert "not allowed with" in said.err


def test_as_a_library_notes_are_silent_and_warnings_show():
    code = (
        "import logging\nimport siamese_lab.core.messages\nlog = logging.getLogger('siamese_lab.x')\n"
        "log.info('a note')\nlog.warning('a warning')\n"
        "print(logging.getLogger().handlers, logging.getLogger('siamese_lab').handlers)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr == "a warning\n"
    assert done.stdout == "[] []\n"
