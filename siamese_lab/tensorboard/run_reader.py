"""What TensorBoard shows of the runs of a study: read from their files, again only where those have changed."""

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar, cast

import yaml

from siamese_lab.core.errors import LabError
from siamese_lab.core.processes import is_gone
from siamese_lab.runs.attempts import attempts_file, read_attempts
from siamese_lab.runs.folder import RunFolder
from siamese_lab.runs.history import best_entry, history_file, read_history
from siamese_lab.runs.listing import run_folders
from siamese_lab.runs.metrics_file import metrics_file
from siamese_lab.runs.seal import PLAIN, openings_file, read_openings
from siamese_lab.runs.study import Study, read_study
from siamese_lab.tensorboard.hparams import Value

T = TypeVar("T")
Points = dict[str, float]  # {tag: value}


@dataclass(frozen=True)
class ShownRun:
    """One run.

    Args:
        run_id: of the run.
        folder: of the run; may not be there yet.
        state: see `runs.states`.
        values: its hyperparameters and the values of its axes.
        point: the values of its axes alone.
        own: the name that the user gave it.
        headlines: the figures by which its protocols are evaluated, "<protocol>/<figure>".
        began, ended: time.time().
    """

    run_id: str
    folder: Path
    state: str
    values: dict[str, Value]
    point: dict[str, str]
    own: str | None
    headlines: tuple[str, ...]
    began: float
    ended: float | None


@dataclass
class StudyReader:
    """Reads a study repeatedly; a file is parsed anew only where it has changed.

    Args:
        study: its folder.
    """

    study: Path
    _known: dict[Path, tuple[tuple[int, ...], object]] = field(default_factory=dict)

    def axes(self) -> list[str]:
        """The axes of the study, in their order."""
        found = self._plan()
        return list(found.axes) if found is not None else []

    def runs(self) -> list[ShownRun]:
        """All runs that have begun, in any state, without those that the study has superseded.

        A run that cannot be read is shown without values, so that its curves are there.
        """
        plan = self._plan()
        points = {job.run_id: job.point for job in plan.jobs} if plan is not None else {}
        gone = {one.run_id for one in plan.superseded} - set(points) if plan is not None else set()
        paths = run_folders(self.study)
        shown = [self._run(path, points.get(path.name, {})) for path in paths if path.name not in gone]
        return [*shown, *(self._jobs_without_folder(plan, {path.name for path in paths}) if plan is not None else ())]

    def tested(self) -> set[str]:
        """The runs whose test figures are known."""
        found = self._parse_file(
            openings_file(self.study),
            lambda path: {run_id for entry in read_openings(path.parent) for run_id in entry["runs"]},
        )
        return found or set()

    def test(self, run: ShownRun) -> Points:
        """The test figures of a run whose study was opened after it had ended: its event files lack them."""
        if self.study.name == PLAIN:
            return {}
        found = self._parse_file(metrics_file(run.folder), lambda path: RunFolder(path.parent).metrics()["test"]) or {}
        return {f"test/{name}": figure["value"] for name, figure in found.items()}

    def best(self, run: ShownRun) -> tuple[int, Points]:
        """The step of the best validation so far and its figures, of a run that has not finished."""
        found = self._parse_file(history_file(run.folder), lambda path: read_history(path.parent))
        best = best_entry(found) if found else None
        if best is None:
            return 0, {}
        figures = {key.removeprefix("val/"): value for key, value in best.items() if key.startswith("val/")}
        return int(best["step"]), {f"best/{name}": value for name, value in figures.items()}

    def _plan(self) -> Study | None:
        return self._parse_file(self.study / "study.json", lambda path: read_study(str(path.parent)))

    def _run(self, path: Path, point: dict[str, str]) -> ShownRun:
        info = self._parse_file(path / "run.json", lambda file: RunFolder(file.parent).info())
        if info is None:
            return ShownRun(path.name, path, "failed", _typed(point), point, None, (), 0.0, None)
        state = "killed" if info["state"] == "running" and is_gone(info) else info["state"]
        own = self._parse_file(path / "config.yaml", _user_name)
        recorded = info.get("hparams", {})
        values = {**recorded, **{key: value for key, value in _typed(point).items() if key not in recorded}}
        began, ended = _seconds(info["started"]) or 0.0, _seconds(info.get("ended"))
        return ShownRun(path.name, path, state, values, point, own, tuple(info.get("headlines", ())), began, ended)

    def _jobs_without_folder(self, plan: Study, begun: set[str]) -> Iterator[ShownRun]:
        """Jobs that were started but ended before they had a run folder."""
        for job in (job for job in plan.jobs if job.run_id not in begun):
            if attempts := self._parse_file(attempts_file(self.study, job.run_id), read_attempts):
                last, folder = attempts[-1], self.study / job.run_id
                began, ended = _seconds(last["started"]) or 0.0, _seconds(last["ended"])
                values = _typed(job.point)
                yield ShownRun(job.run_id, folder, last["state"], values, job.point, None, (), began, ended)

    def _parse_file(self, path: Path, parse: Callable[[Path], T]) -> T | None:
        """What a file says, None where it is not there or cannot be read."""
        try:
            stat = path.stat()
        except OSError:
            return None
        mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if path not in self._known or self._known[path][0] != mark:
            content: T | None = None
            with suppress(LabError, KeyError, TypeError, ValueError, OSError):
                content = parse(path)
            self._known[path] = mark, content
        return cast("T | None", self._known[path][1])


def _user_name(path: Path) -> str | None:
    """The name in a run's config.yaml, from its one line, since parsing a thousand configs is slow."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("name:"):
            value = yaml.safe_load(line)["name"]
            return None if value is None else str(value)
    return None


def _typed(point: dict[str, str]) -> dict[str, Value]:
    """The values of axes as numbers or booleans where possible. A null is left out: it would make a column text."""
    typed: dict[str, Value] = {}
    for key, text in point.items():
        if text in ("true", "false"):
            typed[key] = text == "true"
        elif text != "null":
            try:
                number = float(text)
            except ValueError:
                number = math.nan
            typed[key] = number if math.isfinite(number) else text
    return typed


def _seconds(moment: str | None) -> float | None:
    return None if moment is None else datetime.fromisoformat(moment).timestamp()
