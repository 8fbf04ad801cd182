"""What every launcher offers, and how a study's is built; `launcher=local`, `ray` and `slurm` need no common base."""

from collections.abc import Mapping
from typing import Protocol

from siamese_lab.config.trust import EVERYTHING, Trust
from siamese_lab.core.errors import LabError
from siamese_lab.runs.job import Job


class Attempt(Protocol):
    """A job that was started."""

    @property
    def where(self) -> str:
        """For the table, e.g. "slot 0" or "node 10.0.0.2"."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs or waits for its turn."""

    def stop(self) -> None:
        """Asks it to end with a checkpoint, as SIGTERM does."""

    def kill(self) -> None:
        """Ends it at once, with all its processes."""

    def lost(self) -> bool:
        """Whether it ended because its machine did: it is then started again."""


class Launcher(Protocol):
    """Where jobs run. All of them are fresh processes that call `worker.run_job(study folder, run id)`."""

    @property
    def slots(self) -> int:
        """Jobs at once."""

    @property
    def timeout(self) -> float | None:
        """Seconds until a job counts as hanging; None = never."""

    @property
    def retries(self) -> int:
        """Further attempts that a job gets in later calls of the same command."""

    def slots_of(self, job: Job) -> int:
        """How many of the slots a job takes."""

    def start(self, job: Job) -> Attempt:
        """Starts a job whose config lies at `job.file("yaml")`; its output is appended to `job.file("log")`."""

    def close(self) -> None:
        """Gives back what it holds; jobs that still run are killed."""


def build_launcher(section: Mapping[str, object], trust: Trust = EVERYTHING) -> Launcher:
    """The launcher of a plain config section.

    Args:
        trust: whose code the section may build from.

    Raises:
        LabError: if the section does not fit it, or it refuses the values.
    """
    from omegaconf import OmegaConf

    from siamese_lab.config.instantiate import build  # here: Hydra takes long to import

    try:
        launcher: Launcher = build(OmegaConf.create({"launcher": dict(section)}).launcher, trust=trust)
    except ValueError as error:
        raise LabError(f"launcher: {error}") from error
    return launcher
