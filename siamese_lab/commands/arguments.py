"""The verbs of the command line: which module does each, what it takes, examples."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Verb:
    """One command: the module that does it, a line of help, its arguments, and examples."""

    module: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    examples: tuple[str, ...]


def _composing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="group=option or key=value, in Hydra's grammar"
    )
    parser.add_argument("--cfg", choices=["job"], help="print the resolved config and stop")
    _config_dir(parser)


def _sweeping(parser: argparse.ArgumentParser) -> None:
    _composing(parser)
    parser.add_argument(
        "--zip",
        dest="zips",
        action="append",
        default=[],
        metavar="KEY,KEY",
        help="walk these axes together, first value with first value, instead of every value with every other",
    )
    parser.add_argument(
        "--case",
        dest="cases",
        action="append",
        default=[],
        metavar="'KEY=VALUE KEY=VALUE'",
        help="one point of a list; may be given several times, and is crossed with the axes",
    )
    parser.add_argument(
        "--skip-unfit",
        action="store_true",
        help="leave out combinations that cannot work, instead of refusing them all",
    )


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


def _trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="build what a run's config names from this package of yours too; may be given several times; "
        "the environment variable SIAMESE_LAB_TRUST=one,two does so for good",
    )


def _path(word: str) -> Path:
    if not word:
        raise argparse.ArgumentTypeError("an empty word is no path")
    return Path(word)


def _train(parser: argparse.ArgumentParser) -> None:
    _sweeping(parser)
    parser.add_argument(
        "-m", "--multirun", action="store_true", help="a sweep: a value may be a list, a,b,c; study=NAME names it"
    )
    parser.add_argument(
        "--force", action="store_true", help="run again what has run before; its folder is removed first"
    )


def _resume(parser: argparse.ArgumentParser) -> None:
    _trust(parser)
    parser.add_argument("run", metavar="RUN", help="a run folder, or the beginning of a run id")
    parser.add_argument(
        "--max-time",
        metavar="TIME",
        help="of this sitting, HH:MM:SS or minutes; default: the run's own trainer.max_time",
    )
    parser.add_argument(
        "--devices", type=int, metavar="N", help="GPUs, or processes on the CPU; default: the run's own trainer.devices"
    )


def _evaluate(parser: argparse.ArgumentParser) -> None:
    _trust(parser)
    parser.add_argument("run", metavar="RUN", help="a run folder, or the beginning of a run id")
    parser.add_argument(
        "--data", nargs="+", default=[], metavar="KEY=VALUE", help="other data, e.g. --data data=folder data.root=faces"
    )
    parser.add_argument(
        "--protocol", dest="protocols", nargs="+", metavar="NAME", help="other protocols; default: the run's own"
    )
    _config_dir(parser)


def _verify(parser: argparse.ArgumentParser) -> None:
    _trust(parser)
    parser.add_argument("run", metavar="RUN", help="a run folder, or the beginning of a run id")
    parser.add_argument("left", metavar="A", type=_path, help="an image")
    parser.add_argument("right", metavar="B", type=_path, help="another image")


def _status(parser: argparse.ArgumentParser) -> None:
    _study(parser)
    parser.add_argument(
        "--once", action="store_true", help="print the table once, instead of until the study is finished"
    )


def _rerun(parser: argparse.ArgumentParser) -> None:
    _trust(parser)
    parser.add_argument(
        "names", nargs="+", metavar="STUDY|RUN", help="a study: what is not finished; runs: anew, whatever their state"
    )
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
    parser.add_argument(
        "--by", metavar="KEY,KEY", help="the axes to compare, averaged over the others; default: every configuration"
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="e.g. verification/eer; default: the one that checkpoints are chosen by"
    )
    parser.add_argument(
        "--format", choices=["table", "md", "latex", "csv", "json", "html"], default="table", help="what is printed"
    )
    parser.add_argument(
        "--report",
        type=_path,
        metavar="FILE",
        help="where the page with sortable tables and plots goes; default: the study",
    )
    parser.add_argument(
        "--open-test",
        action="store_true",
        help="evaluate the test part, which a study keeps sealed; the opening is logged",
    )
    parser.add_argument(
        "--force", action="store_true", help="compare what is not comparable: other data, protocols or code"
    )


def _study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", help="its name, or its folder")


def _show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("group", nargs="?", metavar="GROUP", help="e.g. loss; default: list the groups")
    parser.add_argument("name", nargs="?", metavar="NAME", help="an option of the group; default: list its options")
    _config_dir(parser)


VERBS = {
    "train": Verb(
        "siamese_lab.commands.train",
        "train an encoder, evaluate it, print its figures",
        _train,
        (
            "siamese-lab train",
            "siamese-lab train loss=triplet miner=batch_hard loss.margin=0.3",
            "siamese-lab train data=folder data.root=my_images trainer.max_epochs=20 seed=1",
            "siamese-lab train -m loss=contrastive,triplet loss.margin=0.2,0.5 seed=1,2,3",
        ),
    ),
    "plan": Verb(
        "siamese_lab.commands.plan",
        "say what a sweep would do: runs, finished ones, cost, disk",
        _sweeping,
        (
            "siamese-lab plan loss=contrastive,triplet loss.margin=0.2,0.5 seed=1,2,3",
            "siamese-lab plan study=backbone_x_loss_x_margin",
        ),
    ),
    "status": Verb(
        "siamese_lab.commands.status",
        "show how far a study is",
        _status,
        ("siamese-lab status backbone_x_loss_x_margin",),
    ),
    "rerun": Verb(
        "siamese_lab.commands.rerun",
        "run again what failed of a study, or runs anew",
        _rerun,
        ("siamese-lab rerun backbone_x_loss_x_margin", "siamese-lab rerun 3f2a", "siamese-lab rerun 3f2a --print"),
    ),
    "compare": Verb(
        "siamese_lab.commands.compare",
        "say which runs differ, and whether the difference is real",
        _compare,
        (
            "siamese-lab compare backbone_x_loss_x_margin",
            "siamese-lab compare backbone_x_loss_x_margin --by loss --metric retrieval/map@r",
            "siamese-lab compare 3f2a 77b0 --format md",
        ),
    ),
    "diff": Verb(
        "siamese_lab.commands.diff",
        "print the keys in which two runs differ",
        _diff,
        ("siamese-lab diff 3f2a 77b0",),
    ),
    "board": Verb(
        "siamese_lab.commands.board",
        "show a study, or all, in TensorBoard",
        _board,
        ("siamese-lab board", "siamese-lab board backbone_x_loss_x_margin --port 6007"),
    ),
    "resume": Verb(
        "siamese_lab.commands.resume",
        "go on with a run that was stopped or killed",
        _resume,
        ("siamese-lab resume 3f2a", "siamese-lab resume 3f2a --max-time 01:00:00"),
    ),
    "check": Verb(
        "siamese_lab.commands.check",
        "say what a run would do, without training",
        _composing,
        ("siamese-lab check", "siamese-lab check loss=triplet sampling=pk"),
    ),
    "show": Verb(
        "siamese_lab.commands.show",
        "list groups, options, parameters",
        _show,
        ("siamese-lab show", "siamese-lab show loss", "siamese-lab show loss triplet"),
    ),
    "evaluate": Verb(
        "siamese_lab.commands.evaluate",
        "evaluate a trained run again, on the same or other data",
        _evaluate,
        ("siamese-lab evaluate 3f2a", "siamese-lab evaluate 3f2a --data data=omniglot --protocol one_shot"),
    ),
    "verify": Verb(
        "siamese_lab.commands.verify",
        "do two images show the same thing?",
        _verify,
        ("siamese-lab verify 3f2a a.png b.png",),
    ),
}
