"""The axes of a search: choices, or numbers of an interval."""

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna import Trial

ParameterValue = str | int | float  # as it is stored: an option's spelling, or a number


@dataclass(frozen=True)
class Choices:
    """An axis of words, without an order.

    Args:
        key: of the config, or a group.
        names: the values, as the user wrote them.
    """

    key: str
    names: tuple[str, ...]

    @property
    def example(self) -> str:
        """A value of the axis, as an override has it."""
        return self.names[0]

    def suggest(self, trial: "Trial", name: str) -> ParameterValue:
        """Lets a trial of Optuna draw the parameter of this name."""
        return str(trial.suggest_categorical(name, self.names))

    def draw(self, rng: random.Random) -> ParameterValue:
        """One of the values, each as likely."""
        return rng.choice(self.names)

    def as_word(self, value: ParameterValue) -> str:
        """A value as an override has it."""
        return str(value)


@dataclass(frozen=True)
class Numbers:
    """An axis of numbers in [low, high].

    Args:
        key: of the config.
        low: smallest value.
        high: largest value, not below `low`.
        step: between values; None = any number.
        log: a factor counts as much wherever it is applied; `low` must then be positive.
        whole: integers alone.
    """

    key: str
    low: float
    high: float
    step: float | None = None
    log: bool = False
    whole: bool = False

    @property
    def example(self) -> str:
        """A value from the middle of the axis: an option may refuse the ends."""
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        if self.step is not None:
            middle = self.low + self.step * round((middle - self.low) / self.step)
        return self.as_word(middle)

    def suggest(self, trial: "Trial", name: str) -> ParameterValue:
        """Lets a trial of Optuna draw the parameter of this name."""
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return trial.suggest_float(name, self.low, self.high, log=self.log, step=self.step)

    def draw(self, rng: random.Random) -> ParameterValue:
        """A value of the axis, each as likely; each factor, where it is logarithmic."""
        if self.log:
            drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        elif self.whole or self.step is not None:
            step = self.step or 1
            drawn = self.low + step * rng.randrange(round((self.high - self.low) / step) + 1)
        else:
            drawn = rng.uniform(self.low, self.high)
        return int(self.as_word(drawn)) if self.whole else float(self.as_word(drawn))

    def as_word(self, value: ParameterValue) -> str:
        """A value as an override has it: rounded to 1/1000 of the range, or of itself where the axis is logarithmic."""
        number = float(value)
        if self.whole:
            return str(min(max(round(number), int(self.low)), int(self.high)))
        if self.step is not None or self.low == self.high:
            return repr(float(f"{number:.10g}"))
        size = min(self.high - self.low, number) if self.log else self.high - self.low
        return repr(min(max(round(number, 3 - math.floor(math.log10(size))), self.low), self.high))


Axis = Choices | Numbers
