"""TensorBoard's HPARAMS tab, from its protocol buffers: tensorboard's own functions for it need TensorFlow."""

import io
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from filelock import FileLock
from omegaconf import DictConfig, OmegaConf

from siamese_lab.core.errors import LabError
from siamese_lab.core.files import write_bytes
from siamese_lab.runs.folder import RunFolder
from siamese_lab.runs.listing import run_folders
from siamese_lab.runs.seal import openings_file
from siamese_lab.tensorboard.event_files import without_tensorflow

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.api_pb2 import HParamInfo
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

Value = bool | int | float | str

SECTIONS = ("loss", "sampling", "backbone", "augment")  # shown whole
KEYS = ("optimizer.lr", "optimizer.weight_decay", "trainer.max_epochs", "trainer.ema", "evaluation.views")
ALWAYS = ("loss", "backbone", "seed")  # shown also where all runs have them alike
COLUMNS = "events.out.tfevents.columns"
HIDDEN = ("protocol", "callback", "launcher", "search")  # choices that train nothing


class RunColumns(TypedDict):
    """What run.json says of a run's columns."""

    hparams: dict[str, Value]
    headlines: list[str]


def hyperparameters(cfg: DictConfig) -> dict[str, Value]:
    """What tells runs apart: the options taken, their numbers, the seed.

    Args:
        cfg: from `config.compose`.

    Returns:
        {"loss": "triplet", "loss.margin": 0.3, "seed": 0, ...}. Keys without a value are left out: the tab would show
        the word None and take a column of numbers for one of words.
    """
    plain: Mapping[str, Mapping[str, object]] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    found: dict[str, object] = {name: option for name, option in plain.get("choices", {}).items() if name not in HIDDEN}
    for section in SECTIONS:
        found |= {f"{section}.{key}": value for key, value in (plain.get(section) or {}).items() if key != "_target_"}
    found |= {key: OmegaConf.select(cfg, key) for key in KEYS}
    found["seed"] = plain.get("seed")
    return {key: value if isinstance(value, Value) else str(value) for key, value in found.items() if value is not None}


def write_columns(study: Path) -> None:
    """Writes the tab's columns for all runs of a study into its folder, where `tensorboard --logdir` finds them first.

    They are the union of what the runs' run.json say under `hparams` and `headlines`. The figures of the test part have
    columns where it was opened for any run.

    Args:
        study: the folder that holds the run folders.
    """
    with FileLock(study / ".board.lock"):  # two runs that end together must not each leave the other out
        known = list(_run_columns(study))
        figures = figure_columns([info["headlines"] for info in known], tested=openings_file(study).exists())
        columns = experiment_summary([info["hparams"] for info in known], figures)
        write_bytes(study / COLUMNS, event_records([columns]))


def figure_columns(headlines: Iterable[Iterable[str]], tested: bool) -> dict[str, str]:
    """{tag: heading} of the figures that have columns: on validation, and on the test part where it is `tested`."""
    names = dict.fromkeys(name for some in headlines for name in some)
    parts = ("best", "test") if tested else ("best",)
    return {f"{part}/{name}": f"{part} {name.replace('/', ' ')}" for part in parts for name in names}


def event_records(summaries: Iterable["Summary"], step: int = 0) -> bytes:
    """The content of an event file with these summaries."""
    without_tensorflow()
    # here: TensorBoard takes long to import
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer, now = io.BytesIO(), time.time()
    writer = RecordWriter(buffer)
    writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
    for summary in summaries:
        writer.write(Event(wall_time=now, step=step, summary=summary).SerializeToString())
    return buffer.getvalue()


def scalar_summary(values: Mapping[str, float]) -> "Summary":
    """The summary of some scalars, {tag: value}."""
    # here: TensorBoard takes long to import
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])


def _run_columns(study: Path) -> Iterator[RunColumns]:
    """The columns of each run by its run.json; runs that cannot be read or whose training never began are left out."""
    for folder in run_folders(study):
        with suppress(LabError):
            info = RunFolder(folder).info()
            if isinstance(info.get("hparams"), dict):
                yield {"hparams": info["hparams"], "headlines": list(info.get("headlines") or ())}


def experiment_summary(
    runs: Sequence[Mapping[str, Value]], metrics: Mapping[str, str], axes: Sequence[str] = ()
) -> "Summary":
    """The summary that says which columns the tab has. One stands for all runs below the folder it is written to.

    Without it every scalar becomes a column; where several are found the first one counts and hides what it does not
    name.

    Args:
        runs: the hyperparameters of each run; their union makes the columns, without those that all runs have alike.
        metrics: {tag of a scalar: heading}.
        axes: keys that come first: the tab shows the first five, the others are to be ticked.
    """
    # here: TensorBoard takes long to import
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    there = dict.fromkeys(name for run in runs for name in run)
    differing = [name for name in there if len({run.get(name) for run in runs}) > 1]
    first = [name for name in axes if name in there]
    several = dict.fromkeys([*first, *differing, *(name for name in ALWAYS if name in there)])
    names = several if len(runs) > 1 else there
    columns = [_column(name, [run[name] for run in runs if name in run]) for name in names]
    for column in columns if first else ():  # the tab puts those that differ before the others
        column.differs = column.name in first
    names_of_tags = [(api_pb2.MetricName(tag=tag), heading) for tag, heading in metrics.items()]
    figures = [api_pb2.MetricInfo(name=name, display_name=heading) for name, heading in names_of_tags]
    experiment = api_pb2.Experiment(hparam_infos=columns, metric_infos=figures, time_created_secs=time.time())
    return _summary(metadata.EXPERIMENT_TAG, plugin_data_pb2.HParamsPluginData(experiment=experiment))


def start_summary(values: Mapping[str, Value], name: str, began: float) -> "Summary":
    """The summary that a run has begun, with its values.

    Args:
        values: its hyperparameters.
        name: of its line in the tab; runs of one name share a line.
        began: time.time() at its start.
    """
    # here: TensorBoard takes long to import
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    start = plugin_data_pb2.SessionStartInfo(group_name=name, start_time_secs=began)
    for key, value in values.items():
        if isinstance(value, bool):  # before the numbers: a bool is an int
            start.hparams[key].bool_value = value
        elif isinstance(value, int | float):
            start.hparams[key].number_value = value
        else:
            start.hparams[key].string_value = value
    return _summary(metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=start))


def end_summary(state: str, at: float | None) -> "Summary":
    """The summary of a run's state, see `runs.states`, and of its end by time.time(); None = no end is known.

    A run that reached its time limit counts as a success: it has been evaluated.
    """
    # here: TensorBoard takes long to import
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    known = {"ok": api_pb2.STATUS_SUCCESS, "timeout": api_pb2.STATUS_SUCCESS, "running": api_pb2.STATUS_RUNNING}
    end = plugin_data_pb2.SessionEndInfo(status=known.get(state, api_pb2.STATUS_FAILURE), end_time_secs=at or 0.0)
    return _summary(metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=end))


def _column(name: str, values: Iterable[Value]) -> "HParamInfo":
    # here: TensorBoard takes long to import
    from google.protobuf.struct_pb2 import ListValue
    from tensorboard.plugins.hparams import api_pb2

    distinct = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    differs = len(distinct) > 1
    if all(isinstance(value, bool) for value in distinct):
        kind = api_pb2.DATA_TYPE_BOOL
    elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in distinct):
        interval = api_pb2.Interval(min_value=distinct[0], max_value=distinct[-1])
        kind = api_pb2.DATA_TYPE_FLOAT64
        return api_pb2.HParamInfo(name=name, type=kind, domain_interval=interval, differs=differs)
    else:
        kind, distinct = api_pb2.DATA_TYPE_STRING, sorted({str(value) for value in distinct})
    domain = ListValue()
    domain.extend(distinct)
    return api_pb2.HParamInfo(name=name, type=kind, domain_discrete=domain, differs=len(distinct) > 1)


def _summary(tag: str, content: "HParamsPluginData") -> "Summary":
    # here: TensorBoard takes long to import
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata

    facts = metadata.create_summary_metadata(content)
    return Summary(value=[Summary.Value(tag=tag, metadata=facts, tensor=metadata.NULL_TENSOR)])
