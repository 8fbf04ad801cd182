"""The types of run.json, metrics.json and classes.json, checked once where the files are read."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal, TypedDict, cast, is_typeddict

from siamese_lab.core.errors import LabError
from siamese_lab.core.processes import ProcessRecord
from siamese_lab.core.typecheck import fit_type, hints
from siamese_lab.runs.states import State


class Network(TypedDict):
    """What the data decided of the network."""

    shape: tuple[int, int, int]
    classes: int


class Decided(TypedDict, total=False):
    """What was decided at start-up; a missing entry is shown as unknown."""

    accelerator: str
    precision: str
    layout: str
    allocator: str
    threads: int
    processes: int


class Cost(TypedDict):
    """What the network costs."""

    parameters: int
    multiply_adds: int


class Resumption(TypedDict, total=False):
    """One start of a run that went on from a checkpoint: when, at which step, after which state."""

    at: str
    step: int
    after: str
    code: str
    versions: dict[str, str]
    decided: dict[str, object]


class _RunStart(ProcessRecord):
    state: State
    started: str
    decided: Decided
    versions: dict[str, str]


class RunRecord(_RunStart, total=False):
    """run.json: the process that trains the run, and what is known of it so far."""

    ended: str | None
    seconds: float | None
    reason: str | None
    command: list[str]
    code: str
    network: Network
    cost: Cost
    hparams: dict[str, bool | int | float | str]
    headlines: list[str]
    packages: list[str]
    resumed: list[Resumption]


class FigureRecord(TypedDict):
    """One figure of metrics.json."""

    value: float
    low: float | None
    high: float | None
    n: int
    unit: str
    better: str
    note: str


class Training(TypedDict):
    """How training went."""

    seconds: float
    steps: int
    images_per_second: float | None


class Data(TypedDict):
    """What was trained on."""

    disjoint: Literal["label", "image"]
    fingerprint: str


class _Figures(TypedDict):
    test: dict[str, FigureRecord]
    untrained: dict[str, FigureRecord]
    chosen: dict[str, dict[str, float]]
    epoch: int
    training: Training
    data: Data


class MetricsRecord(_Figures, total=False):
    """metrics.json: the figures of a finished run; `sealed` where the test part is not evaluated yet."""

    sealed: bool
    val: dict[str, FigureRecord]


class ClassesRecord(TypedDict):
    """classes.json."""

    train: list[str]


def check_run(path: Path, found: Mapping[str, object]) -> RunRecord:
    """Checks what a run.json holds; entries of other names may hold anything.

    Raises:
        LabError: naming every entry that is missing or of another type.
    """
    misfits = _misfits(found, RunRecord)
    record = cast(RunRecord, found)  # true where there are no misfits
    if not misfits:
        try:
            datetime.fromisoformat(record["started"])
        except ValueError:
            misfits.append(f"started must be a time, got {record['started']!r}")
        if record["pid"] < 1:
            misfits.append(f"pid must be the number of a process, got {record['pid']}")
        if "network" in record and min(*record["network"]["shape"], record["network"]["classes"]) < 1:
            misfits.append(f"network must hold positive numbers, got {record['network']}")
    refuse_misfits(path, misfits)
    return record


def check_metrics(path: Path, found: Mapping[str, object]) -> MetricsRecord:
    """Checks what a metrics.json holds, as `check_run` does."""
    refuse_misfits(path, _misfits(found, MetricsRecord))
    return cast(MetricsRecord, found)  # just checked


def check_classes(path: Path, found: Mapping[str, object]) -> ClassesRecord:
    """Checks what a classes.json holds, as `check_run` does."""
    refuse_misfits(path, _misfits(found, ClassesRecord))
    return cast(ClassesRecord, found)  # just checked


def refuse_misfits(path: Path, misfits: list[str]) -> None:
    """Raises a LabError that names the file and its misfits, if there are any."""
    if misfits:
        more = f"; and {len(misfits) - 3} more" if len(misfits) > 3 else ""
        raise LabError(
            f"{path} is not what siamese-lab writes: {'; '.join(misfits[:3])}{more}: copy the run folder anew from "
            "where it was trained, or train the run anew with --force"
        )


def _misfits(found: Mapping[str, object], record: type) -> list[str]:
    misfits: list[str] = []
    for key, annotation in hints(record).items():
        if key in found:
            _fit(found[key], annotation, key, misfits)
        elif key in vars(record)["__required_keys__"]:
            misfits.append(f"it lacks {key}")
    return misfits


def _fit(value: object, annotation: object, key: str, misfits: list[str]) -> None:
    """As `fit_type`, but a mapping may hold entries that its record does not name."""
    if is_typeddict(annotation) and isinstance(value, dict):
        value = {name: one for name, one in value.items() if name in hints(annotation)}
    fit_type(value, annotation, key, misfits, infinite=True)
