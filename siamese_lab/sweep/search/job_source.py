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
from siamese_lab.sweep.search.storage import quietly, told
from siamese_lab.sweep.search.trials import Trials

if TYPE_CHECKING:
    from optuna import Trial

AGAIN = ("killed", "preempted")  # states of runs that nothing is wrong with: they are tried again in the same call
LOOK = 1.0  # seconds between two looks at a storage that had nothing to draw
UNFIT = 50  # drawings in a row that cannot run, after which the search gives up


class SearchJobs:
    """Draws points and gives their jobs to `schedule.run`; see `source.Source`.

    Args:
        trials: of the search.
        point: the job and config of {key: value}, see `search_plan.point`.
        better: which way the objective is.
        prunes: whether running ones are looked at.
        storage: for messages, see `Search`.
    """

    def __init__(
        self,
        trials: Trials,
        point: Callable[[dict[str, str]], tuple[Job, str]],
        better: Literal["low", "high"],
        prunes: bool,
        storage: str,
    ) -> None:
        self.trials, self.better, self.prunes, self.storage = trials, better, prunes, storage
        self.states: dict[str, str] = {}
        self.exhausted = False
        self.new = 0  # trials told in this call
        self._point, self._unfit, self._idle = point, 0, -LOOK
        self._running: dict[str, Trial] = {}
        self._reported: dict[str, int] = {}
        self._there: dict[str, set[str] | LabError] = {}

    def next(self) -> Job | None:
        """Draws until there is a point to train; None where none is left, or none for now."""
        if time.monotonic() - self._idle < LOOK:
            return None
        with told(self.storage):
            self.trials.beat()
            self.trials.reap()
            self._unfit = 0
            while (self.trials.free() > 0 and not self.exhausted) or self.trials.waiting():
                try:
                    trial, point = self.trials.ask(self.exists)
                except LabError as error:
                    self._count(error)
                    continue
                job = self._take(trial, point.values)
                if job is not None:
                    return job
        self._idle = time.monotonic()
        return None

    def more(self) -> bool:
        """Whether there is another one, now or once a running one has ended."""
        return bool(self._running) or (self.trials.left() > 0 and not self.exhausted) or self.trials.waiting()

    def worthwhile(self, job: Job) -> bool:
        """Reports what a run's history says since the last call; False where the pruner gives it up."""
        with told(self.storage):
            self.trials.beat()
            trial = self._running.get(job.run_id)
            if not self.prunes or trial is None:
                return True
            entries = self._history(job.folder.path)
            known = self._reported.get(job.run_id, 0)
            for epoch, value in entries[known:]:
                with quietly():
                    trial.report(value, step=epoch)
            self._reported[job.run_id] = max(known, len(entries))
            with quietly():
                return len(entries) <= known or not trial.should_prune()

    def ended(self, job: Job, state: str) -> None:
        """Tells how a run ended; one that was killed is tried again."""
        self.states[job.run_id] = state
        self._idle = -LOOK
        trial = self._running.pop(job.run_id, None)
        self._reported.pop(job.run_id, None)
        if trial is None:
            return
        with told(self.storage):
            self._tell(trial, job, state)
            if state in AGAIN:
                self.trials.again(AGAIN)

    def exists(self, chosen: dict[str, str]) -> set[str]:
        """The keys of the value axes that these options have.

        Raises:
            LabError: if the options do not go together.
        """
        name = repr(sorted(chosen.items()))
        if name not in self._there:
            try:
                self._there[name] = set(self.probe(chosen)[0].point)
            except LabError as error:
                self._there[name] = error
        found = self._there[name]
        if isinstance(found, LabError):
            raise found
        return found

    def probe(self, chosen: dict[str, str]) -> tuple[Job, str]:
        """The job and config of these options, with numbers from the middle of their axes.

        Raises:
            LabError: if the options do not go together.
        """
        return self._point(chosen | {axis.key: axis.first for axis in self.trials.space.axes if axis.key not in chosen})

    def _take(self, trial: "Trial", values: dict[str, str]) -> Job | None:
        """The job of a trial; None for one that is answered at once, or set aside."""
        twin = self.trials.twin(trial, values)
        if twin is not None:
            state = twin.state.name if twin.state.is_finished() else "FAIL"
            self._known(trial, twin.number, state, twin.value if state == "COMPLETE" else None)
            return None
        if self.trials.beyond(trial):
            self.trials.aside(trial, "surplus", True, "FAIL")
            return None
        try:
            job, text = self._point(values)
        except LabError as error:
            self.trials.aside(trial, "unfit", str(error))
            self._count(error)
            return None
        if job.run_id in self._running:  # other words for the same run
            self._known(trial, self._running[job.run_id].number, "FAIL", None)
            return None
        trial.set_user_attr("run", job.run_id)
        _enlist(job, text)
        if job.state() == "ok":
            self.states[job.run_id] = "ok"
            self._tell(trial, job, "ok")
            return None
        self._running[job.run_id] = trial
        return job

    def _count(self, error: LabError) -> None:
        """Gives up where nothing that is drawn can run."""
        self._unfit += 1
        if self._unfit == UNFIT:
            raise LabError(f"none of {UNFIT} points drawn can run; the last one: {error}") from error

    def _known(self, trial: "Trial", number: int, state: str, value: float | None) -> None:
        """Answers a trial of a point that an earlier one has; the next one is drawn at random, since a sampler may
        insist on its best.
        """
        self.trials.aside(trial, "repeats", number, state, value)
        self.exhausted = not self.trials.fresh(self.exists)

    def _tell(self, trial: "Trial", job: Job, state: str) -> None:
        self.new += 1
        value = self._objective(job.folder.path) if state in ("ok", "timeout") else None
        if value is not None:
            self.trials.tell(trial, "COMPLETE", value, ended=state)
        elif state in ("ok", "pruned", "diverged"):  # as points to stay away from; the samplers look past failed ones
            self.trials.tell(trial, "PRUNED", ended="diverged" if state == "ok" else state)
        else:
            self.trials.tell(trial, "FAIL", ended=state)

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

    def _history(self, folder: Path) -> list[tuple[int, float]]:
        """(epochs trained, headline figure) of each validation so far."""
        if not history_file(folder).exists():
            return []
        found = read_history(folder)
        entries = [(int(entry["epoch"]) + 1, float(entry[found["monitor"]])) for entry in found["entries"]]
        return [(epoch, value) for epoch, value in entries if math.isfinite(value)]


def _enlist(job: Job, text: str) -> None:
    """Writes a job's config and adds it to study.json, which other processes write too."""
    with lock_study(job.study):
        known = read_study(job.study)
        job.write_config(text)
        if job.run_id not in {one.run_id for one in known.jobs}:
            replace(known, jobs=[*known.jobs, job]).write()
