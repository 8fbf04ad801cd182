"""What is known of a search's trials, in a storage that several processes write to at once.

A trial is one drawing of a point. What counts is points: a point that is drawn again, or tried again after its process
was killed, is another trial and the same point. Nobody holds a lock: trials are numbered by the storage, and whether
one is beyond the number that the search may try follows from those before it.
"""

import random
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from siamese_lab.core.errors import LabError
from siamese_lab.core.processes import ProcessRecord, is_gone, this_process
from siamese_lab.sweep.search.samplers import build_sampler
from siamese_lab.sweep.search.space import DrawnPoint, Space
from siamese_lab.sweep.search.storage import without_warnings

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

HEARTBEAT = 30.0  # seconds between two signs of life of a process
SILENCE = 300.0  # seconds without one after which a process of another machine counts as gone
PATIENCE = 5.0  # seconds for another process to draw its point; after that, the job's lock keeps two from training it
NAMELESS = 60.0  # seconds after which a trial counts as lost that no process has put its name to
NO_POINT = ("repeats", "surplus", "unfit")  # why a trial is not a point of the search
MAX_DRAWINGS = 10_000  # random drawings after which nothing new is left to draw

TrialState = Literal["COMPLETE", "PRUNED", "FAIL"]


class Worker(ProcessRecord):
    """A process that searches; `name` tells it from an earlier search of the same process."""

    name: str


class Trials:
    """The trials of a search.

    Args:
        startup: trials drawn at random before the sampler learns.
        total: points that are tried, by all processes and calls together.
        retries: further attempts at a point whose run was killed or failed.
    """

    def __init__(
        self, study: "Study", space: Space, sampler: str, seed: int, startup: int, total: int, retries: int
    ) -> None:
        self.study, self.space, self.total, self.retries = study, space, total, retries
        self._sampler, self._seed, self._startup = sampler, seed, startup
        self.worker: Worker = {**this_process(), "name": uuid.uuid4().hex[:12]}
        self._heartbeat_at = -HEARTBEAT
        self._seen: dict[int, tuple[object, float]] = {}  # {trial: (heartbeat, when it was new)}

    def all(self) -> list["FrozenTrial"]:
        """Those so far, by number."""
        return self.study.get_trials(deepcopy=False)

    def ask(self, value_keys: Callable[[dict[str, str]], Collection[str]]) -> tuple["Trial", DrawnPoint]:
        """Draws a point: one that waits to be tried again, else what the sampler suggests.

        Args:
            value_keys: the keys of value axes that the options drawn have.
        """
        with without_warnings():
            self.study.sampler = build_sampler(self._sampler, self._seed, len(self.all()), self._startup)
            trial = self.study.ask()
            trial.set_user_attr("worker", self.worker)
            try:
                point = self.space.draw(lambda name, axis: axis.suggest(trial, name), value_keys)
            except LabError as error:
                self.set_aside(trial, "unfit", str(error))
                raise
            trial.set_user_attr("point", point.values)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and any(
            t.number < trial.number and _is_drawing(t) and not self._is_lost(t, self.study.user_attrs)
            for t in self.all()
        ):
            time.sleep(0.02)  # another process draws its point, which may be the same
        return trial, point

    def earlier_trial(self, trial: "Trial", values: Mapping[str, str]) -> "FrozenTrial | None":
        """An earlier trial of the same point, other than the failed ones that a further attempt repeats; else None."""
        again = "attempt" in trial.user_attrs
        earlier = [t for t in self.all() if t.number < trial.number and is_point(t) and t.user_attrs["point"] == values]
        return next((t for t in reversed(earlier) if not (again and t.state.name == "FAIL")), None)

    def is_surplus(self, trial: "Trial") -> bool:
        """Whether the trials before this one have all the points that may be tried, and its own is not among them."""
        earlier = [t for t in self.all() if t.number < trial.number]
        drawing = sum(map(_is_drawing, earlier))  # by others, who may yet set them aside
        known = {_point_key(t) for t in earlier if is_point(t)}
        return _point_key(trial) not in known and len(known) + drawing >= self.total

    def points_left(self) -> int:
        """Points that are still to be begun."""
        return self.total - len(latest_trials(self.all()))

    def points_to_draw(self) -> int:
        """Points that may be drawn now: those left, without what other processes are drawing."""
        return self.points_left() - sum(map(_is_drawing, self.all()))

    def has_waiting(self) -> bool:
        """Whether a point waits to be tried again."""
        return any(map(_is_waiting, self.all()))

    def finish(self, trial: "Trial", state: TrialState, value: float | None = None, **facts: object) -> None:
        """Ends a trial. Does nothing where another process has given it up in the meantime."""
        # here: Optuna takes long to import
        from optuna import trial as optuna_trial
        from optuna.exceptions import UpdateFinishedTrialError

        with without_warnings(), suppress(UpdateFinishedTrialError):
            for name, fact in facts.items():
                trial.set_user_attr(name, fact)
            self.study.tell(trial, value, optuna_trial.TrialState[state], skip_if_finished=True)

    def set_aside(
        self, trial: "Trial", why: str, fact: object, state: TrialState = "PRUNED", value: float | None = None
    ) -> None:
        """Ends a trial that is no further point of the search; `why` is one of NO_POINT."""
        self.finish(trial, state, value, **{why: fact})

    def enqueue_new_point(self, value_keys: Callable[[dict[str, str]], Collection[str]]) -> bool:
        """Lets the next trial be a random point that was not drawn before; returns whether there is one."""
        known = {_point_key(t) for t in self.all() if "point" in t.user_attrs and "surplus" not in t.user_attrs}
        rng = random.Random(f"{self._seed} fresh {len(self.all())}")
        for _ in range(MAX_DRAWINGS):
            try:
                point = self.space.draw(lambda _, axis: axis.draw(rng), value_keys)
            except LabError:  # options that do not go together
                continue
            if _values_key(point.values) not in known:
                with without_warnings():
                    self.study.enqueue_trial(point.stored)
                return True
        return False

    def retry(self, states: Collection[str]) -> None:
        """Enqueues the points whose runs ended in one of these states and that have an attempt left."""
        for failed in self._retryable():
            if end_state(failed[-1]) in states:
                with without_warnings():
                    attrs = {"attempt": len(failed) + 1, "point": failed[-1].user_attrs["point"]}
                    self.study.enqueue_trial(failed[-1].params, user_attrs=attrs)

    def is_settled(self) -> bool:
        """Whether no trial is running or waiting, and no point that failed has an attempt left."""
        return not self._retryable() and all(t.state.is_finished() for t in self.all())

    def _retryable(self) -> list[list["FrozenTrial"]]:
        """The trials of each point that has failed so far and has an attempt left."""
        by_point: dict[str, list[FrozenTrial]] = {}
        for t in self.all():
            if is_point(t) or _is_waiting(t):
                by_point.setdefault(_point_key(t), []).append(t)
        failed = [tried for tried in by_point.values() if all(t.state.name == "FAIL" for t in tried)]
        return [tried for tried in failed if len(tried) <= self.retries]

    def send_heartbeat(self) -> None:
        """Gives a sign of life, where it is time for one."""
        if time.monotonic() - self._heartbeat_at >= HEARTBEAT:
            self._heartbeat_at = time.monotonic()
            self.study.set_user_attr(f"alive {self.worker['name']}", time.time())

    def end_lost(self) -> list["FrozenTrial"]:
        """Ends the trials whose process is gone, and lets their points be tried again; returns them."""
        # here: Optuna takes long to import
        from optuna import trial as optuna_trial

        heartbeats = self.study.user_attrs
        lost = [t for t in self.all() if t.state.name == "RUNNING" and self._is_lost(t, heartbeats)]
        with without_warnings():
            for t in lost:
                self.study.tell(t.number, state=optuna_trial.TrialState.FAIL, skip_if_finished=True)
        if lost:
            self.retry(["killed"])
        return lost

    def _is_lost(self, trial: "FrozenTrial", heartbeats: Mapping[str, object]) -> bool:
        """Whether the process of a running trial is gone."""
        worker: Worker | None = trial.user_attrs.get("worker")
        heartbeat: object = None
        if worker is None:
            started = trial.datetime_start
            if started is not None and (datetime.now() - started).total_seconds() > NAMELESS:
                return True
        elif worker["name"] == self.worker["name"]:
            return False
        elif is_gone(worker):
            return True
        elif worker["host"] == self.worker["host"]:  # lost if it is of an earlier search of this process
            return (worker["pid"], worker["ticks"]) == (self.worker["pid"], self.worker["ticks"])
        else:
            heartbeat = heartbeats.get(f"alive {worker['name']}")
        if trial.number not in self._seen or self._seen[trial.number][0] != heartbeat:
            self._seen[trial.number] = (heartbeat, time.monotonic())  # clocks of two machines may differ
            return False
        return time.monotonic() - self._seen[trial.number][1] > SILENCE


def is_point(trial: "FrozenTrial") -> bool:
    """Whether a trial is of a point of the search that was begun."""
    attrs = trial.user_attrs
    return trial.state.name != "WAITING" and "point" in attrs and not any(why in attrs for why in NO_POINT)


def end_state(trial: "FrozenTrial") -> str:
    """The state that the run of a finished trial ended in."""
    return str(trial.user_attrs.get("ended", "killed"))  # its process was gone before it could say


def latest_trials(trials: Collection["FrozenTrial"]) -> dict[str, "FrozenTrial"]:
    """The latest trial of each point of the search."""
    return {_point_key(t): t for t in trials if is_point(t)}


def _is_drawing(trial: "FrozenTrial") -> bool:
    """Whether a process is drawing the point of a trial."""
    return trial.state.name == "RUNNING" and "point" not in trial.user_attrs


def _is_waiting(trial: "FrozenTrial") -> bool:
    """Whether a trial is a further attempt that nobody has begun."""
    return trial.state.name == "WAITING" and "attempt" in trial.user_attrs


def _point_key(trial: "Trial | FrozenTrial") -> str:
    return _values_key(trial.user_attrs["point"])


def _values_key(values: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(values.items()))
