"""What run.json, metrics.json and classes.json must hold: checked once, where they are read, whoever wrote them."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypedDict

from siamese_lab.core.errors import LabError
from siamese_lab.core.typecheck import fit_type, hints
from siamese_lab.runs.states import State


class Network(TypedDict):
    """What the data decided of the network."""

    shape: tuple[int, int, int]
    classes: int


class Decided(TypedDict, total=False):
    """What start-up settled; what is lacking is shown as unknown."""

    accelerator: str
    precision: str
    layout: str
    allocator: str
    threads: int
    processes: int


class Begun(TypedDict):
    """run.json, from the beginning on."""

    state: State
    started: str
    host: str
    pid: int
    decided: Decided
    versions: dict[str, str]


class Cost(TypedDict):
    """What the network costs."""

    parameters: int
    multiply_adds: int


class Trained(TypedDict, total=False):
    """run.json, what comes later."""

    code: str
    ticks: int | None
    network: Network
    cost: Cost
    hparams: dict[str, Any]
    headlines: list[str]
    packages: list[str]
    resumed: list[dict[str, Any]]
    reason: str | None


class Figure(TypedDict):
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


class Metrics(TypedDict):
    """metrics.json."""

    test: dict[str, Figure]
    untrained: dict[str, Figure]
    chosen: dict[str, dict[str, float]]
    epoch: int
    training: Training
    data: Data


class Parts(TypedDict, total=False):
    """metrics.json, what runs of earlier versions lack."""

    sealed: bool
    val: dict[str, Figure]


class Classes(TypedDict):
    """classes.json."""

    train: list[str]


def check_run(path: Path, found: dict[str, Any]) -> dict[str, object]:
    """Checks what a run.json holds; entries of other names are left to whoever wrote them.

    Raises:
        LabError: naming every entry that is lacking or of another kind.
    """
    misfits = _misfits(found, Begun, Trained)
    if not misfits:
        try:
            datetime.fromisoformat(found["started"])
        except ValueError:
            misfits.append(f"started must be a time, got {found['started']!r}")
        if found["pid"] < 1:
            misfits.append(f"pid must be the number of a process, got {found['pid']}")
        if "network" in found and min(*found["network"]["shape"], found["network"]["classes"]) < 1:
            misfits.append(f"network must hold positive numbers, got {found['network']}")
    refuse(path, misfits)
    return found


def check_metrics(path: Path, found: dict[str, object]) -> dict[str, Any]:
    """Checks what a metrics.json holds, as `run` does."""
    refuse(path, _misfits(found, Metrics, Parts))
    return found


def check_classes(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Checks what a classes.json holds, as `run` does."""
    refuse(path, _misfits(found, Classes))
    return found


def refuse(path: Path, misfits: list[str]) -> None:
    """Raises a LabError that names the file and its misfits, if there are any."""
    if misfits:
        more = f"; and {len(misfits) - 3} more" if len(misfits) > 3 else ""
        raise LabError(
            f"{path} is not what siamese-lab writes: {'; '.join(misfits[:3])}{more}: copy the run folder anew from "
            "where it was "
            "trained, or train the run anew with --force"
        )


def _misfits(found: Mapping[str, object], *records: type) -> list[str]:
    misfits: list[str] = []
    for record in records:
        known = hints(record)
        for key in known:
            if key in found:
                _fit(found[key], known[key], key, misfits)
            elif key in record.__required_keys__:  # type: ignore[attr-defined]
                misfits.append(f"it lacks {key}")
    return misfits


def _fit(value: object, annotation: object, key: str, misfits: list[str]) -> None:
    """As `signature.fit`, but entries that a record does not name are nobody's business here."""
    known = (
        hints(annotation)
        if isinstance(annotation, type) and issubclass(annotation, dict) and annotation is not dict
        else {}
    )
    if known and isinstance(value, dict):
        value = {name: one for name, one in value.items() if name in known}
    fit_type(value, annotation, key, misfits, infinite=True)
