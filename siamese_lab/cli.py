"""`siamese-lab VERB ...`: which verb, nothing else.

A verb's module is imported once its words are parsed, so that help answers at once. Each has a function
`command(...) -> int | None` (the exit code, None = 0) that takes, by keyword:

    train       cfg: the composed config, force: bool
    check       cfg: the composed config
    resume      run: str, max_time: str | None, devices: int | None
    evaluate    run: str, data: list[str] (overrides of the data set), protocols: list[str] | None
    verify      run: str, left: Path, right: Path
    show        group: str | None, name: str | None, config_dirs: list[Path]
"""

import argparse
import difflib
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from siamese_lab.errors import INTERRUPTED, LabError, printable

SWEEPS = "sweeps (-m) come with the next version: one run takes one value of each key, so start one command for each"


@dataclass(frozen=True)
class Verb:
    """One command: the module that does it, a line of help, its arguments, and examples."""

    module: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    examples: tuple[str, ...]


def _composing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="group=option or key=value, in Hydra's grammar")
    parser.add_argument("--cfg", choices=["job"], help="print the resolved config and stop")
    _config_dir(parser)
    parser.add_argument("-m", "--multirun", action="store_true", help="sweep (comes with the next version)")


def _config_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config-dir",
        dest="config_dirs",
        type=_path,
        action="append",
        default=[],
        metavar="DIR",
        help="a folder with options of your own, laid out as conf/; may be given several times",
    )


def _path(word: str) -> Path:
    if not word:
        raise argparse.ArgumentTypeError("an empty word is no path")
    return Path(word)


def _train(parser: argparse.ArgumentParser) -> None:
    _composing(parser)
    parser.add_argument("--force", action="store_true", help="run again what has run before; its folder is removed first")


def _resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, or the beginning of a run id")
    parser.add_argument("--max-time", metavar="TIME", help="of this sitting, HH:MM:SS or minutes; default: the run's own trainer.max_time")
    parser.add_argument("--devices", type=int, metavar="N", help="GPUs, or processes on the CPU; default: the run's own trainer.devices")


def _evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, or the beginning of a run id")
    parser.add_argument("--data", nargs="+", default=[], metavar="KEY=VALUE", help="other data, e.g. --data data=folder data.root=faces")
    parser.add_argument("--protocol", dest="protocols", nargs="+", metavar="NAME", help="other protocols; default: the run's own")


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, or the beginning of a run id")
    parser.add_argument("left", metavar="A", type=_path, help="an image")
    parser.add_argument("right", metavar="B", type=_path, help="another image")


def _show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("group", nargs="?", metavar="GROUP", help="e.g. loss; default: list the groups")
    parser.add_argument("name", nargs="?", metavar="NAME", help="an option of the group; default: list its options")
    _config_dir(parser)


VERBS = {
    "train": Verb(
        "siamese_lab.train",
        "train an encoder, judge it, print its figures",
        _train,
        (
            "siamese-lab train",
            "siamese-lab train loss=triplet miner=batch_hard loss.margin=0.3",
            "siamese-lab train data=folder data.root=my_images trainer.max_epochs=20 seed=1",
        ),
    ),
    "resume": Verb(
        "siamese_lab.resume",
        "go on with a run that was stopped or killed",
        _resume,
        ("siamese-lab resume 3f2a", "siamese-lab resume 3f2a --max-time 01:00:00"),
    ),
    "check": Verb(
        "siamese_lab.check",
        "say what a run would do, without training",
        _composing,
        ("siamese-lab check", "siamese-lab check loss=triplet sampling=pk"),
    ),
    "show": Verb(
        "siamese_lab.show",
        "list groups, options, parameters",
        _show,
        ("siamese-lab show", "siamese-lab show loss", "siamese-lab show loss triplet"),
    ),
    "evaluate": Verb(
        "siamese_lab.evaluate",
        "judge a trained run again, on the same or other data",
        _evaluate,
        ("siamese-lab evaluate 3f2a", "siamese-lab evaluate 3f2a --data data=omniglot --protocol one_shot"),
    ),
    "verify": Verb(
        "siamese_lab.verify",
        "do two images show the same thing?",
        _verify,
        ("siamese-lab verify 3f2a a.png b.png",),
    ),
}


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. What the user can mend is printed to stderr without a traceback."""
    words = list(sys.argv[1:] if words is None else words)
    warnings.formatwarning = lambda message, *_, **__: f"siamese-lab: {printable(message)}\n"  # without a line of our source
    try:
        code = _run(words)
        sys.stdout.flush()  # here, so that a closed pipe is met inside the try
        return code
    except LabError as error:
        print(f"siamese-lab: {_plain(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("siamese-lab: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # not within a run, which says how it ended: a file that cannot be read, or output that nobody takes
        print(f"siamese-lab: {_plain(f'{error.filename}: ' if error.filename else '')}{error.strerror or error}", file=sys.stderr)
        return 2 if error.filename else 1


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"siamese-lab {version('siamese-lab')}")
        return 0
    name = words[0]
    if name not in VERBS:
        close = difflib.get_close_matches(name, VERBS, n=1)
        hint = f": did you mean {close[0]}?" if close else ""
        raise LabError(f"no verb {name or repr(name)}{hint} (verbs: {', '.join(VERBS)})")
    verb = VERBS[name]
    try:
        arguments = vars(_parser(name, verb).parse_intermixed_args(words[1:]))
    except SystemExit as stop:  # argparse has printed its help
        return int(stop.code or 0)
    return _do(verb, arguments)


def _plain(text: str) -> str:
    """A message as a terminal may be sent it: no control characters, no word longer than a line of any use."""
    shown = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    return re.sub(r"\S{1000,}", lambda word: f"{word[0][:100]}... ({len(word[0]):,} characters)", shown)


def _warn_of_repeats(words: Sequence[str]) -> None:
    """Of a key that is given twice the last one counts, as Hydra has it; that is said, since it may be a slip."""
    keys = [word.partition("=")[0] for word in words]
    for key in dict.fromkeys(key for key in keys if keys.count(key) > 1):
        last = next(word for word in reversed(words) if word.partition("=")[0] == key)
        print(f"siamese-lab: {_plain(key)} is given {keys.count(key)} times, the last one counts: {_plain(last)}", file=sys.stderr)


def _do(verb: Verb, arguments: dict[str, Any]) -> int:
    if arguments.pop("multirun", False):
        raise LabError(SWEEPS)
    if "overrides" in arguments:
        from siamese_lab.config import compose, printed

        given = arguments.pop("overrides")
        cfg = compose(given, arguments.pop("config_dirs"))  # a misspelt key does not wait for torch
        _warn_of_repeats(given)
        if arguments.pop("cfg") == "job":
            print(printed(cfg), end="")
            return 0
        arguments["cfg"] = cfg
    return import_module(verb.module).command(**arguments) or 0


def _parser(name: str, verb: Verb) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"siamese-lab {name}",
        description=f"{verb.help[0].upper()}{verb.help[1:]}{'' if verb.help.endswith('?') else '.'}",
        epilog="examples:\n" + "\n".join(f"  {line}" for line in verb.examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.arguments(parser)

    def refuse(message: str) -> NoReturn:
        raise LabError(f"{message[:1000]}: `siamese-lab {name} --help` says what it takes")

    parser.error = refuse  # type: ignore[method-assign]  # one message, as every other
    return parser


def _overview() -> str:
    verbs = "\n".join(f"  {name:<10}{verb.help}" for name, verb in VERBS.items())
    return (
        "usage: siamese-lab VERB ...\n\nSiamese and metric learning experiments.\n\n"
        f"verbs:\n{verbs}\n\nsiamese-lab VERB --help says more. Begin with: siamese-lab train"
    )
