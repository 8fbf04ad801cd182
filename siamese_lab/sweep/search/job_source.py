"""The jobs of a search: each next one is drawn by what is known of those before it."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from siamese_lab.core.errors import LabError
from siamese_lab.runs.history import history_file, read_history
from siamese_lab.runs.job import Job
from siamese_lab.runs.metrics_file import metrics_file, read_best
from siamese_lab.runs.study import lock_study, read_study
from siamese_lab.sweep.search.storage import storage_errors, without_warnings
from siamese_lab.sweep.search.trials import Trials, TrialState

if TYPE_CHECKING:
    from optuna import Trial

RETRIED_AT_ONCE = ("killed", "preempted")  # states of runs that nothing is wrong with
LOOK = 1.0  # seconds between two looks at a storage that had nothing to draw
MAX_UNFIT = 50  # drawings in a row that cannot run, after which the search gives up


class SearchJobs:
    """Draws points and gives their jobs to `scheduler.schedule`; see `JobSource`.

    Args:
        point_job: the job and config of {key: value}, see `search_plan.point_job`.
        better: which way the objective is.
        prunes: whether running ones are looked at.
        storage: for messages, see `Search`.

    Attributes:
        exhausted: whether every point of the space has been drawn.
        finished: trials that ended in this call.
    """

    def __init__(
        self,
        trials: Trials,
        point_job: Callable[[dict[str, str]], tuple[Job, str]],
        better: Literal["low", "high"],
        prunes: bool,
        storage: str,
    ) -> None:
        self.trials, self.better, self.prunes, self.storage = trials, better, prunes, storage
        self.exhausted = False
        self.finished = 0
        self._point_job, self._unfit, self._idle_since = point_job, 0, -LOOK
        self._running: dict[str, Trial] = {}
        self._reported: dict[str, int] = {}  # epochs, by run id
        self._value_keys: dict[str, set[str] | LabError] = {}

    def next_job(self) -> Job | None:
        """Draws until there is a point to train; None where none is left, or none for now."""
        if time.monotonic() - self._idle_since < LOOK:
            return None
        with storage_errors(self.storage):
            self.trials.send_heartbeat()
            self.trials.end_lost()
            self._unfit = 0
            while (self.trials.points_to_draw() > 0 and not self.exhausted) or self.trials.has_waiting():
                try:
                    trial, point = self.trials.ask(self.value_keys)
                except LabError as error:
                    self._count_unfit(error)
                    continue
                job = self._start(trial, point.values)
                if job is not None:
                    return job
        self._idle_since = time.monotonic()
        return None

    def has_more(self) -> bool:
        """Whether there is another one, now or once a running one has ended."""
        undrawn = self.trials.points_left() > 0 and not self.exhausted
        return bool(self._running) or undrawn or self.trials.has_waiting()

    def should_continue(self, job: Job) -> bool:
        """Reports what a run's history says since the last call; False where the pruner gives it up."""
        with storage_errors(self.storage):
            self.trials.send_heartbeat()
            trial = self._running.get(job.run_id)
            if not self.prunes or trial is None:
                return True
            entries = _validations(job.folder.path)
            known = self._reported.get(job.run_id, 0)
            self._reported[job.run_id] = max(known, len(entries))
            with without_warnings():
                for epoch, value in entries[known:]:
                    trial.report(value, step=epoch)
                return len(entries) <= known or not trial.should_prune()

    def record_end(self, job: Job, state: str) -> None:
        """Finishes the trial of a run that has ended; one that was killed is tried again."""
        self._idle_since = -LOOK
        trial = self._running.pop(job.run_id, None)
        self._reported.pop(job.run_id, None)
        if trial is None:
            return
        with storage_errors(self.storage):
            self._finish(trial, job, state)
            if state in RETRIED_AT_ONCE:
                self.trials.retry(RETRIED_AT_ONCE)

    def value_keys(self, chosen: dict[str, str]) -> set[str]:
        """The keys of the value axes that these options have.

        Raises:
            LabError: if the options do not go together.
        """
        name = repr(sorted(chosen.items()))
        if name not in self._value_keys:
            try:
                self._value_keys[name] = set(self.probe(chosen)[0].point)
            except LabError as error:
                self._value_keys[name] = error
        found = self._value_keys[name]
        if isinstance(found, LabError):
            raise found
        return found

    def probe(self, chosen: dict[str, str]) -> tuple[Job, str]:
        """The job and config of these options, with numbers from the middle of their axes.

        Raises:
            LabError: if the options do not go together.
        """
        others = {axis.key: axis.example for axis in self.trials.space.axes if axis.key not in chosen}
        return self._point_job(chosen | others)

    def _start(self, trial: "Trial", values: dict[str, str]) -> Job | None:
        """The job of a trial; None for one that is answered at once, or set aside."""
        same = self.trials.earlier_trial(trial, values)
        if same is not None:
            complete = same.state.name == "COMPLETE"
            state: TrialState = "COMPLETE" if complete else "PRUNED" if same.state.name == "PRUNED" else "FAIL"
            self._set_repeat_aside(trial, same.number, state, same.value if complete else None)
            return None
        if self.trials.is_surplus(trial):
            self.trials.set_aside(trial, "surplus", True, "FAIL")
            return None
        try:
            job, text = self._point_job(values)
        except LabError as error:
            self.trials.set_aside(trial, "unfit", str(error))
            self._count_unfit(error)
            return None
        if job.run_id in self._running:  # other words for the same run
            self._set_repeat_aside(trial, self._running[job.run_id].number, "FAIL", None)
            return None
        trial.set_user_attr("run", job.run_id)
        _add_to_study(job, text)
        if job.state() == "ok":
            self._finish(trial, job, "ok")
            return None
        self._running[job.run_id] = trial
        return job

    def _count_unfit(self, error: LabError) -> None:
        """Gives up where nothing that is drawn can run."""
        self._unfit += 1
        if self._unfit == MAX_UNFIT:
            raise LabError(f"none of {MAX_UNFIT} points drawn can run; the last one: {error}") from error

    def _set_repeat_aside(self, trial: "Trial", earlier: int, state: TrialState, value: float | None) -> None:
        """Answers a trial by an earlier one; the next is drawn at random, since a sampler may insist on its best."""
        self.trials.set_aside(trial, "repeats", earlier, state, value)
        self.exhausted = not self.trials.enqueue_new_point(self.value_keys)

    def _finish(self, trial: "Trial", job: Job, state: str) -> None:
        self.finished += 1
        value = self._objective(job.folder.path) if state in ("ok", "timeout") else None
        if value is not None:
            self.trials.finish(trial, "COMPLETE", value, ended=state)
        elif state in ("ok", "pruned", "diverged"):  # as points to stay away from; the samplers look past failed ones
            self.trials.finish(trial, "PRUNED", ended="diverged" if state == "ok" else state)
        else:
            self.trials.finish(trial, "FAIL", ended=state)

    def _objective(self, folder: Path) -> float | None:
        """The best headline figure on validation; None where there is none, or none that is a number."""
        if not metrics_file(folder).exists():
            return None
        best, better = read_best(folder), read_history(folder).get("better")
        if better != self.better:
            raise LabError(
                f"{folder} was evaluated by a figure better {better}, and the search looks for one better {self.better}"
            )
        return float(best) if isinstance(best, int | float) and math.isfinite(best) else None


def _validations(folder: Path) -> list[tuple[int, float]]:
    """(epochs trained, headline figure) of each validation of a run so far."""
    if not history_file(folder).exists():
        return []
    history = read_history(folder)
    entries = [(int(entry["epoch"]) + 1, float(entry[history["monitor"]])) for entry in history["entries"]]
    return [(epoch, value) for epoch, value in entries if math.isfinite(value)]


def _add_to_study(job: Job, text: str) -> None:
    """Writes a job's config and adds it to study.json, which other processes write too."""
    with lock_study(job.study):
        study = read_study(job.study)
        job.write_config(text)
        if job.run_id not in {one.run_id for one in study.jobs}:
            replace(study, jobs=[*study.jobs, job]).write()
