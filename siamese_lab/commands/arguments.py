"""The verbs of the command line: what each takes, and examples."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Verb:
    """One command: its name, a line of help, its arguments, and examples of them."""

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    examples: tuple[str, ...]

    @property
    def module(self) -> str:
        """The module that does it."""
        return f"siamese_lab.commands.{self.name}"


def _path(word: str) -> Path:
    if not word:
        raise argparse.ArgumentTypeError("an empty word is no path")
    return Path(word)


def _composing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="group=option or key=value, in Hydra's grammar"
    )
    parser.add_argument("--cfg", choices=["job"], help="print the resolved config and stop")
    _config_dir(parser)


def _sweeping(parser: argparse.ArgumentParser) -> None:
    _composing(parser)
    text = "walk these axes together, first value with first value, instead of every value with every other"
    parser.add_argument("--zip", dest="zips", action="append", default=[], metavar="KEY,KEY", help=text)
    text = "one point of a list; may be given several times, and is crossed with the axes"
    parser.add_argument("--case", dest="cases", action="append", default=[], metavar="'KEY=VALUE KEY=VALUE'", help=text)
    text = "leave out combinations that cannot work, instead of refusing them all"
    parser.add_argument("--skip-unfit", action="store_true", help=text)


def _config_dir(parser: argparse.ArgumentParser) -> None:
    text = "a folder with options of your own, laid out as conf/; may be given several times"
    parser.add_argument(
        "--config-dir", dest="config_dirs", type=_path, action="append", default=[], metavar="DIR", help=text
    )


def _trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="build what a run's config names from this package of yours too; may be given several times; "
        "the environment variable SIAMESE_LAB_TRUST=one,two does so for good",
    )


def _trusted_run(parser: argparse.ArgumentParser) -> None:
    _trust(parser)
    parser.add_argument("run", metavar="RUN", help="a run folder, or the beginning of a run id")


def _train(parser: argparse.ArgumentParser) -> None:
    _sweeping(parser)
    text = "a sweep: a value may be a list, a,b,c; study=NAME names it"
    parser.add_argument("-m", "--multirun", action="store_true", help=text)
    text = "run again what has run before; its folder is removed first"
    parser.add_argument("--force", action="store_true", help=text)


def _resume(parser: argparse.ArgumentParser) -> None:
    _trusted_run(parser)
    text = "of this sitting, HH:MM:SS or minutes; default: the run's own trainer.max_time"
    parser.add_argument("--max-time", metavar="TIME", help=text)
    text = "GPUs, or processes on the CPU; default: the run's own trainer.devices"
    parser.add_argument("--devices", type=int, metavar="N", help=text)


def _evaluate(parser: argparse.ArgumentParser) -> None:
    _trusted_run(parser)
    text = "other data, e.g. --data data=folder data.root=faces; or data.KEY=VALUE of the run's own data set"
    parser.add_argument("--data", nargs="+", default=[], metavar="KEY=VALUE", help=text)
    text = "other protocols; default: the run's own"
    parser.add_argument("--protocol", dest="protocols", nargs="+", metavar="NAME", help=text)
    _config_dir(parser)


def _verify(parser: argparse.ArgumentParser) -> None:
    _trusted_run(parser)
    parser.add_argument("left", metavar="A", type=_path, help="an image")
    parser.add_argument("right", metavar="B", type=_path, help="another image")


def _status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", help="its name, or its folder")
    text = "print the table once, instead of until the study is finished"
    parser.add_argument("--once", action="store_true", help=text)


def _rerun(parser: argparse.ArgumentParser) -> None:
    _trust(parser)
    text = "a study: what is not finished; runs: anew, whatever their state"
    parser.add_argument("names", nargs="+", metavar="STUDY|RUN", help=text)
    parser.add_argument("--print", dest="only_print", action="store_true", help="print the exact commands and stop")


def _diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("left", metavar="RUN", help="a run folder, or the beginning of a run id")
    parser.add_argument("right", metavar="RUN", help="another")


def _board(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", nargs="?", metavar="STUDY", help="default: all studies")
    parser.add_argument("--host", default="localhost", help="name or address to listen on")
    parser.add_argument("--port", type=int, default=6006, metavar="N", help="0 = any free one")


def _compare(parser: argparse.ArgumentParser) -> None:
    _trust(parser)
    parser.add_argument("names", nargs="+", metavar="STUDY|RUN", help="a study, or runs")
    text = "the axes to compare, averaged over the others; default: every configuration"
    parser.add_argument("--by", metavar="KEY,KEY", help=text)
    text = "e.g. verification/eer; default: the one that checkpoints are chosen by"
    parser.add_argument("--metric", metavar="NAME", help=text)
    formats = ["table", "md", "latex", "csv", "json", "html"]
    parser.add_argument("--format", choices=formats, default="table", help="what is printed")
    text = "where the page with sortable tables and plots goes; default: the study"
    parser.add_argument("--report", type=_path, metavar="FILE", help=text)
    text = "evaluate the test part, which a study keeps sealed; the opening is logged"
    parser.add_argument("--open-test", action="store_true", help=text)
    text = "compare what is not comparable: other data, protocols or code"
    parser.add_argument("--force", action="store_true", help=text)


def _show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("group", nargs="?", metavar="GROUP", help="e.g. loss; default: list the groups")
    parser.add_argument("name", nargs="?", metavar="NAME", help="an option of the group; default: list its options")
    _config_dir(parser)


_STUDY = "backbone_x_loss_x_margin"
_VERBS = (
    Verb(
        "train",
        "train an encoder, evaluate it, print its figures",
        _train,
        (
            "",
            "loss=triplet miner=batch_hard loss.margin=0.3",
            "data=folder data.root=my_images trainer.max_epochs=20 seed=1",
            "-m loss=contrastive,triplet loss.margin=0.2,0.5 seed=1,2,3",
        ),
    ),
    Verb(
        "plan",
        "say what a sweep would do: runs, finished ones, cost, disk",
        _sweeping,
        ("loss=contrastive,triplet loss.margin=0.2,0.5 seed=1,2,3", f"study={_STUDY}"),
    ),
    Verb("status", "show how far a study is", _status, (_STUDY,)),
    Verb("rerun", "run again what failed of a study, or runs anew", _rerun, (_STUDY, "3f2a", "3f2a --print")),
    Verb(
        "compare",
        "say which runs differ, and whether the difference is real",
        _compare,
        (_STUDY, f"{_STUDY} --by loss --metric retrieval/map@r", "3f2a 77b0 --format md"),
    ),
    Verb("diff", "print the keys in which two runs differ", _diff, ("3f2a 77b0",)),
    Verb("board", "show a study, or all, in TensorBoard", _board, ("", f"{_STUDY} --port 6007")),
    Verb("resume", "go on with a run that was stopped or killed", _resume, ("3f2a", "3f2a --max-time 01:00:00")),
    Verb("check", "say what a run would do, without training", _composing, ("", "loss=triplet sampling=pk")),
    Verb("show", "list groups, options, parameters", _show, ("", "loss", "loss triplet")),
    Verb(
        "evaluate",
        "evaluate a trained run again, on the same or other data",
        _evaluate,
        ("3f2a", "3f2a --data data=omniglot --protocol one_shot"),
    ),
    Verb("verify", "do two images show the same thing?", _verify, ("3f2a a.png b.png",)),
)
VERBS = {verb.name: verb for verb in _VERBS}
