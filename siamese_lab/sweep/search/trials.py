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
from typing import TYPE_CHECKING, Any

from siamese_lab.core.errors import LabError
from siamese_lab.core.processes import is_gone, this_process
from siamese_lab.sweep.search.samplers import sampler
from siamese_lab.sweep.search.space import Point, Space
from siamese_lab.sweep.search.storage import quietly

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

BEAT = 30.0  # seconds between two signs of life of a process
SILENCE = 300.0  # seconds without one after which a process of another machine counts as gone
# seconds for another process to draw its point; where it takes longer, the lock of the job keeps two from training it
PATIENCE = 5.0
NAMELESS = (
    60.0  # seconds after which a trial counts as gone that no process has put its name to: it does so once it has drawn
)
ASIDE = ("repeats", "surplus", "unfit")  # why a trial is not a point of the search
FRESH = 10_000  # random drawings after which nothing new is left to draw


class Trials:
    """The trials of a search.

    Args:
        study: from `search_storage.study`.
        space: what is drawn from.
        sampler: its name.
        seed: of the drawing.
        startup: trials drawn at random before the sampler learns.
        total: points that are tried, by all processes and calls together.
        retries: further attempts at a point whose run was killed or failed.
    """

    def __init__(
        self, study: "Study", space: Space, sampler: str, seed: int, startup: int, total: int, retries: int
    ) -> None:
        self.study, self.space, self.total, self.retries = study, space, total, retries
        self._sampler, self._seed, self._startup = sampler, seed, startup
        self.me = {**this_process(), "name": uuid.uuid4().hex[:12]}
        self._beaten = -BEAT
        self._pulses: dict[int, tuple[Any, float]] = {}

    def all(self) -> list["FrozenTrial"]:
        """Those so far, by number."""
        return self.study.get_trials(deepcopy=False)

    def ask(self, exists: Callable[[dict[str, str]], Collection[str]]) -> tuple["Trial", Point]:
        """Draws a point: one that waits to be tried again, else what the sampler suggests.

        Args:
            exists: the keys of value axes that the options drawn have.
        """
        with quietly():
            self.study.sampler = sampler(self._sampler, self._seed, len(self.all()), self._startup)
            trial = self.study.ask()
            trial.set_user_attr("worker", self.me)
            try:
                point = self.space.draw(lambda name, axis: axis.suggest(trial, name), exists)
            except LabError as error:
                self.aside(trial, "unfit", str(error))
                raise
            trial.set_user_attr("point", point.values)
        self._let_draw(trial.number)
        return trial, point

    def _let_draw(self, number: int) -> None:
        """Waits until the trials before one have drawn their points, in other processes: one of them may be the
        same.
        """
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and any(
            t.number < number and pending(t) and not self._gone(t, self.study.user_attrs) for t in self.all()
        ):
            time.sleep(0.02)

    def twin(self, trial: "Trial", values: Mapping[str, str]) -> "FrozenTrial | None":
        """An earlier trial of the same point, but for failed ones where this is a further attempt; None where there is
        none.
        """
        again = "attempt" in trial.user_attrs
        before = [t for t in self.all() if t.number < trial.number and counts(t) and t.user_attrs["point"] == values]
        return next((t for t in reversed(before) if not (again and t.state.name == "FAIL")), None)

    def beyond(self, trial: "Trial") -> bool:
        """Whether the points of the trials before this one are all that the search may try, and its own is not among
        them.
        """
        before = [t for t in self.all() if t.number < trial.number]
        drawn = sum(map(pending, before))  # by others, who may yet put them aside
        known = {key(t) for t in before if counts(t)}
        return key(trial) not in known and len(known) + drawn >= self.total

    def left(self) -> int:
        """Points that are still to be begun."""
        return self.total - len(points(self.all()))

    def free(self) -> int:
        """Points that may be drawn now: those left, without what other processes are drawing."""
        return self.left() - sum(map(pending, self.all()))

    def waiting(self) -> bool:
        """Whether a point waits to be tried again."""
        return any(t.state.name == "WAITING" and "attempt" in t.user_attrs for t in self.all())

    def tell(self, trial: "Trial", state: str, value: float | None = None, **facts: Any) -> None:
        """Ends a trial. Does nothing where another process has given it up in the meantime.

        Args:
            trial: a running one.
            state: "COMPLETE", "PRUNED" or "FAIL".
            value: of a complete one.
            facts: kept with it.
        """
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        with quietly(), suppress(UpdateFinishedTrialError):
            for name, fact in facts.items():
                trial.set_user_attr(name, fact)
            self.study.tell(trial, value, TrialState[state], skip_if_finished=True)

    def aside(self, trial: "Trial", why: str, fact: Any, state: str = "PRUNED", value: float | None = None) -> None:
        """Ends a trial that is no further point of the search; `why` is one of ASIDE."""
        self.tell(trial, state, value, **{why: fact})

    def fresh(self, exists: Callable[[dict[str, str]], Collection[str]]) -> bool:
        """Lets the next trial be a random point that was not drawn before; whether there is one."""
        known = {key(t) for t in self.all() if "point" in t.user_attrs and "surplus" not in t.user_attrs}
        rng = random.Random(f"{self._seed} fresh {len(self.all())}")
        for _ in range(FRESH):
            try:
                point = self.space.draw(lambda _, axis: axis.random(rng), exists)
            except LabError:  # options that do not go together
                continue
            if _key(point.values) not in known:
                with quietly():
                    self.study.enqueue_trial(point.stored)
                return True
        return False

    def again(self, states: Collection[str]) -> None:
        """Lets the points be tried again whose runs ended in one of these states and that have an attempt left.

        Args:
            states: of `record.EXIT_CODES`.
        """
        for failed in self._due():
            if ended(failed[-1]) in states:
                with quietly():
                    attrs = {"attempt": len(failed) + 1, "point": failed[-1].user_attrs["point"]}
                    self.study.enqueue_trial(failed[-1].params, user_attrs=attrs)

    def settled(self) -> bool:
        """Whether no trial is running or waiting, and no point that failed has an attempt left."""
        return not self._due() and all(t.state.is_finished() for t in self.all())

    def _due(self) -> "list[list[FrozenTrial]]":
        """The trials of each point that has failed so far and has an attempt left."""
        of: dict[str, list[FrozenTrial]] = {}
        for t in self.all():
            if counts(t) or (t.state.name == "WAITING" and "attempt" in t.user_attrs):
                of.setdefault(key(t), []).append(t)
        return [
            tried for tried in of.values() if all(t.state.name == "FAIL" for t in tried) and len(tried) <= self.retries
        ]

    def beat(self) -> None:
        """Gives a sign of life, where it is time for one."""
        if time.monotonic() - self._beaten >= BEAT:
            self._beaten = time.monotonic()
            self.study.set_user_attr(f"alive {self.me['name']}", time.time())

    def reap(self) -> list["FrozenTrial"]:
        """Ends the trials whose process is gone, and lets their points be tried again; returns them."""
        from optuna.trial import TrialState

        beats = self.study.user_attrs
        gone = [t for t in self.all() if t.state.name == "RUNNING" and self._gone(t, beats)]
        with quietly():
            for t in gone:
                self.study.tell(t.number, state=TrialState.FAIL, skip_if_finished=True)
        if gone:
            self.again(["killed"])
        return gone

    def _gone(self, trial: "FrozenTrial", beats: Mapping[str, Any]) -> bool:
        worker = trial.user_attrs.get("worker")
        if worker is not None and worker["name"] == self.me["name"]:
            return False
        if worker is not None and is_gone(worker):
            return True
        if worker is not None and worker["host"] == self.me["host"]:
            # an earlier search of this process
            return (worker["pid"], worker["ticks"]) == (
                self.me["pid"],
                self.me["ticks"],
            )
        if (
            worker is None
            and trial.datetime_start is not None
            and (datetime.now() - trial.datetime_start).total_seconds() > NAMELESS
        ):
            return True
        pulse = None if worker is None else beats.get(f"alive {worker['name']}")
        if trial.number not in self._pulses or self._pulses[trial.number][0] != pulse:
            self._pulses[trial.number] = (pulse, time.monotonic())  # by our own clock: those of two machines may differ
            return False
        return time.monotonic() - self._pulses[trial.number][1] > SILENCE


def counts(trial: "FrozenTrial") -> bool:
    """Whether a trial is of a point of the search that was begun."""
    attrs = trial.user_attrs
    return trial.state.name != "WAITING" and "point" in attrs and not any(why in attrs for why in ASIDE)


def pending(trial: "FrozenTrial") -> bool:
    """Whether a process is drawing the point of a trial."""
    return trial.state.name == "RUNNING" and "point" not in trial.user_attrs


def ended(trial: "FrozenTrial") -> str:
    """The state that the run of a finished trial ended in."""
    return str(trial.user_attrs.get("ended", "killed"))  # its process was gone before it could say


def key(trial: Any) -> str:
    """What tells the points of trials apart."""
    return _key(trial.user_attrs["point"])


def points(trials: Collection["FrozenTrial"]) -> dict[str, "FrozenTrial"]:
    """The points of the search, each with its latest trial."""
    return {key(t): t for t in trials if counts(t)}


def _key(values: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(values.items()))
