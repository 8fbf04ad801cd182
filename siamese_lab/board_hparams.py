"""TensorBoard's HPARAMS tab, from its protocol buffers: tensorboard's own functions for it need TensorFlow."""

import io
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from omegaconf import DictConfig, OmegaConf

from siamese_lab.errors import LabError
from siamese_lab.files import write_bytes
from siamese_lab.runs import RunFolder

Value = bool | int | float | str

SECTIONS = ("loss", "sampling", "backbone", "augment")  # shown whole
KEYS = (("optimizer", "lr"), ("optimizer", "weight_decay"), ("trainer", "max_epochs"), ("trainer", "ema"), ("evaluation", "views"))
HIDDEN = ("protocol", "callback", "launcher", "search")  # choices that train nothing


def hyperparameters(cfg: DictConfig) -> dict[str, Value]:
    """What tells runs apart: the options taken, their numbers, the seed.

    Args:
        cfg: from `config.compose`.

    Returns:
        {"loss": "triplet", "loss.margin": 0.3, "seed": 0, ...}. Keys without a value are left out: the tab would show the word None
        and take a column of numbers for one of words.
    """
    plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    found: dict[str, Any] = {name: option for name, option in plain.get("choices", {}).items() if name not in HIDDEN}
    for section in SECTIONS:
        found |= {f"{section}.{key}": value for key, value in (plain.get(section) or {}).items() if key != "_target_"}
    found |= {f"{section}.{key}": (plain.get(section) or {}).get(key) for section, key in KEYS}
    found["seed"] = plain.get("seed")
    return {key: value if isinstance(value, Value) else str(value) for key, value in found.items() if value is not None}


def write_columns(study: Path) -> None:
    """Writes the tab's columns for all runs of a study, into the study's folder, where TensorBoard finds them before the runs.

    They are the union of what the runs' run.json say under `hparams` and `headlines`.

    Args:
        study: the folder that holds the run folders.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    with FileLock(study / ".board.lock"):  # two runs that end together must not each leave the other out
        known = list(_described(study))
        headlines = dict.fromkeys(name for info in known for name in info["headlines"])
        parts = ("best",) if (study / "study.json").exists() else ("best", "test")  # the test part of a planned study is sealed
        tags = {f"{part}/{name}": f"{part} {name.replace('/', ' ')}" for name in headlines for part in parts}
        buffer, now = io.BytesIO(), time.time()
        records = RecordWriter(buffer)
        records.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        columns = experiment([info["hparams"] for info in known], tags)
        records.write(Event(wall_time=now, summary=columns).SerializeToString())
        write_bytes(study / "events.out.tfevents.columns", buffer.getvalue())


def _described(study: Path) -> Iterator[dict[str, Any]]:
    """What the run.json of each run says; a folder that cannot be read, or whose training never began, has no columns."""
    for path in sorted(study.glob("*/run.json")):
        with suppress(LabError):
            info = RunFolder(path.parent).info()
            if "hparams" in info:
                yield info


def experiment(runs: Sequence[Mapping[str, Value]], metrics: Mapping[str, str]) -> Any:
    """The summary that says which columns the tab has. One stands for all runs below the folder it is written to.

    Without it every scalar becomes a column; where several are found the first one counts and hides what it does not name.

    Args:
        runs: the hyperparameters of each run; their union makes the columns.
        metrics: {tag of a scalar: heading}.
    """
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    names = list(dict.fromkeys(name for run in runs for name in run))
    columns = [_column(name, [run[name] for run in runs if name in run]) for name in names]
    figures = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=heading) for tag, heading in metrics.items()]
    made = api_pb2.Experiment(hparam_infos=columns, metric_infos=figures, time_created_secs=time.time())
    return _summary(metadata.EXPERIMENT_TAG, plugin_data_pb2.HParamsPluginData(experiment=made))


def session(values: Mapping[str, Value], name: str, began: float, succeeded: bool = True) -> list[Any]:
    """The two summaries of one run: its values, and how it ended.

    Args:
        values: its hyperparameters.
        name: of the run; runs of one name share a line of the tab.
        began: time.time() at its start.
        succeeded: else it is shown as failed.
    """
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    start = plugin_data_pb2.SessionStartInfo(group_name=name, start_time_secs=began)
    for key, value in values.items():
        if isinstance(value, bool):  # before the numbers: a bool is an int
            start.hparams[key].bool_value = value
        elif isinstance(value, int | float):
            start.hparams[key].number_value = value
        else:
            start.hparams[key].string_value = value
    status = api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
    return [
        _summary(metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=start)),
        _summary(metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=end)),
    ]


def _column(name: str, values: Iterable[Value]) -> Any:
    from google.protobuf.struct_pb2 import ListValue
    from tensorboard.plugins.hparams import api_pb2

    distinct = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    if all(isinstance(value, bool) for value in distinct):
        kind = api_pb2.DATA_TYPE_BOOL
    elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in distinct):
        interval = api_pb2.Interval(min_value=distinct[0], max_value=distinct[-1])
        return api_pb2.HParamInfo(name=name, type=api_pb2.DATA_TYPE_FLOAT64, domain_interval=interval, differs=len(distinct) > 1)
    else:
        kind, distinct = api_pb2.DATA_TYPE_STRING, sorted({str(value) for value in distinct})
    domain = ListValue()
    domain.extend(distinct)
    return api_pb2.HParamInfo(name=name, type=kind, domain_discrete=domain, differs=len(distinct) > 1)


def _summary(tag: str, content: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata

    facts = metadata.create_summary_metadata(content)
    return Summary(value=[Summary.Value(tag=tag, metadata=facts, tensor=metadata.NULL_TENSOR)])
