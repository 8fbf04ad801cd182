"""`siamese-lab VERB ...`: which verb, nothing else.

A verb's module is imported once its words are parsed, so that help answers at once. Each has a function
`command(...) -> int | None` (the exit code, None = 0) that takes, by keyword:

    train       cfg: the composed config, force: bool
    check       cfg: the composed config
    resume      run: str, max_time: str | None, devices: int | None
    evaluate    run: str, data: list[str] (overrides of the data set), protocols: list[str] | None,
                config_dirs: list[Path]
    verify      run: str, left: Path, right: Path
    show        group: str | None, name: str | None, config_dirs: list[Path]
    status      study: str, once: bool
    rerun       names: list[str], only_print: bool
    diff        left: str, right: str
    board       study: str | None, host: str, port: int
    compare     names: list[str], by: str | None, metric: str | None, format: str, report: Path | None, open_test: bool,
    force: bool

Those that build from a run's files (resume, evaluate, verify, rerun, compare) also take trust: list[str], the packages
that the user allows them to build from.

`train -m` (or of a study file) is `siamese_lab.commands.sweep`, and `plan` is `siamese_lab.commands.plan`; both take
words: list[str], config_dirs: list[Path], zips: list[str], cases: list[str], skip_unfit: bool; and the sweep force:
bool.
"""

import argparse
import difflib
import gc
import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from siamese_lab.commands.arguments import VERBS, Verb
from siamese_lab.core.errors import INTERRUPTED, LabError
from siamese_lab.core.messages import LOGGER, on_standard_error
from siamese_lab.core.text import printable

log = logging.getLogger(__name__)

QUIET = (("-q", "--quiet"), logging.WARNING, "print results, warnings and errors; no notes and no progress")
VERBOSE = (("-v", "--verbose"), logging.DEBUG, "print what is done and how long it takes; tracebacks of refusals")
LEVELS = {word: level for words, level, _ in (QUIET, VERBOSE) for word in words}
"""The options that say how much is printed to standard error beside the results."""


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. What the user can mend is printed to stderr without a traceback."""
    words = list(sys.argv[1:] if words is None else words)
    # without a line of our source
    warnings.formatwarning = lambda message, *_, **__: f"siamese-lab: {printable(message)}\n"
    with on_standard_error():
        return _answered(words)


def _answered(words: list[str]) -> int:
    """Runs a command; what went wrong becomes a message and an exit code. `--verbose` adds the traceback."""
    try:
        code = _run(words)
        sys.stdout.flush()  # here, so that a closed pipe is met inside the try
        return code
    except LabError as error:
        log.error(_plain(str(error)), exc_info=log.isEnabledFor(logging.DEBUG))
        return error.exit_code
    except KeyboardInterrupt:
        log.error("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a file that cannot be read, or output that nobody takes; a run says itself how it ended
        file = _plain(f"{error.filename}: ") if error.filename else ""
        log.error("%s%s", file, error.strerror or error, exc_info=log.isEnabledFor(logging.DEBUG))
        return 2 if error.filename else 1


def _run(words: list[str]) -> int:
    while words and words[0] in LEVELS:  # before the verb, as after it
        LOGGER.setLevel(LEVELS[words[0]])
        words = words[1:]
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        # here: only --version needs it
        from importlib.metadata import version

        print(f"siamese-lab {version('siamese-lab')}")
        return 0
    name = words[0]
    if name not in VERBS:
        close = difflib.get_close_matches(name, VERBS, n=1)
        hint = f": did you mean {close[0]}?" if close else ""
        raise LabError(f"no verb {name or repr(name)}{hint} (verbs: {', '.join(VERBS)})")
    verb = VERBS[name]
    behind = words[words.index("--") + 1 :] if "--" in words else []
    if late := next((word for word in behind if word.startswith("--")), None):
        raise LabError(f"{_plain(late)} stands after --, where options are not read: write it before")
    try:
        given = _parser(verb).parse_intermixed_args(words[1:])
    except SystemExit as stop:  # argparse has printed its help
        return int(stop.code or 0)
    if given.level is not None:
        LOGGER.setLevel(given.level)
    del given.level
    return _do(verb, given)


def _plain(text: str) -> str:
    """A message as a terminal may be sent it: no control characters, no word longer than a line of any use."""
    shown = "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
    return re.sub(r"\S{1000,}", lambda word: f"{word[0][:100]}... ({len(word[0]):,} characters)", shown)


def _warn_of_repeats(words: Sequence[str]) -> None:
    """Of a key that is given twice the last one counts, as Hydra has it; that is said, since it may be a slip."""
    keys = [word.partition("=")[0] for word in words]
    for key in dict.fromkeys(key for key in keys if keys.count(key) > 1):
        last = next(word for word in reversed(words) if word.partition("=")[0] == key)
        log.warning("%s is given %d times, the last one counts: %s", _plain(key), keys.count(key), _plain(last))


def _do(verb: Verb, given: argparse.Namespace) -> int:
    if "zips" in given:
        several = vars(given).pop("multirun", None)
        if several is None or several or given.zips or given.cases or _is_study(given):
            return _sweep(verb, given)
        del given.zips, given.cases, given.skip_unfit
    if "overrides" in given:
        # here: Hydra takes long to import
        from siamese_lab.config.compose import compose, config_text

        began = time.perf_counter()
        cfg = compose(given.overrides, given.config_dirs)  # a misspelt key does not wait for torch
        log.debug("composing the config took %.2f s", time.perf_counter() - began)
        _warn_of_repeats(given.overrides)
        if given.cfg == "job":
            print(config_text(cfg), end="")
            return 0
        del given.overrides, given.config_dirs
        given.cfg = cfg
    return _imported(verb.module).command(**vars(given)) or 0


def _imported(module: str) -> ModuleType:
    """A module. Nothing that is imported is garbage, and looking for it takes a sixth of the time."""
    gc.disable()
    began = time.perf_counter()
    try:
        return import_module(module)
    finally:
        gc.enable()
        log.debug("importing %s took %.2f s", module, time.perf_counter() - began)


def _is_study(given: argparse.Namespace) -> bool:
    # here: --help and --version need nothing of sweeps
    from siamese_lab.sweep.planning.study_file import find_study_file

    return find_study_file(given.overrides, given.config_dirs) is not None


def _sweep(verb: Verb, given: argparse.Namespace) -> int:
    if given.cfg:
        raise LabError(
            "--cfg prints the config of one run: leave the -m out, or see what a sweep would do with `siamese-lab plan`"
        )
    _warn_of_repeats(given.overrides)
    given.words = given.overrides
    del given.overrides, given.cfg
    module = "siamese_lab.commands.sweep" if verb.name == "train" else verb.module
    return _imported(module).command(**vars(given)) or 0


def _parser(verb: Verb) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"siamese-lab {verb.name}",
        description=f"{verb.help[0].upper()}{verb.help[1:]}{'' if verb.help.endswith('?') else '.'}",
        epilog="examples:\n" + "\n".join(f"  siamese-lab {verb.name} {words}".rstrip() for words in verb.examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.arguments(parser)
    loudness = parser.add_mutually_exclusive_group()
    for (short, long), level, text in (QUIET, VERBOSE):
        loudness.add_argument(short, long, dest="level", action="store_const", const=level, help=text)

    def refuse(message: str) -> NoReturn:
        raise LabError(f"{message[:1000]}: `siamese-lab {verb.name} --help` says what it takes")

    parser.error = refuse  # type: ignore[method-assign]  # one message, as every other
    return parser


def _overview() -> str:
    verbs = "\n".join(f"  {name:<10}{verb.help}" for name, verb in VERBS.items())
    return (
        "usage: siamese-lab VERB ...\n\nSiamese and metric learning experiments.\n\n"
        f"verbs:\n{verbs}\n\n-q prints less beside the results, -v more, before the verb or after it.\n"
        "siamese-lab VERB --help says more. Begin with: siamese-lab train"
    )
