"""The plan of a sweep: what `planner.py` makes, `siamese-lab plan` prints and `train -m` runs."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from siamese_lab.core.paths import outputs
from siamese_lab.runs.job import Job
from siamese_lab.runs.listing import is_study
from siamese_lab.runs.study import Study, StudyFacts, Superseded, lock_study, read_study

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Plan:
    """The jobs of a sweep.

    Args:
        axes: {key: values}.
        jobs: in the order in which they are started; none for a search, which decides as it goes.
        notes: what the user is told: collapsed axes, combinations left out, runs that no longer count.
        facts: for study.json; those of a search have `search`.
        launcher: the section of the config; empty where an earlier plan is reused, which has nothing to do.
        space: of a search, {key: override with several values or an interval}.
        configs: {run id: yaml text} of the jobs; empty where an earlier plan is reused.
        superseded: runs of the study that no longer answer their points.
        cfg: a composed config of the study; None where an earlier plan is reused.
    """

    study: str
    axes: dict[str, list[str]]
    jobs: list[Job]
    notes: list[str]
    facts: StudyFacts
    launcher: dict[str, object] = field(default_factory=dict)
    space: "dict[str, Override]" = field(default_factory=dict)
    configs: dict[str, str] = field(default_factory=dict)
    superseded: list[Superseded] = field(default_factory=list)
    cfg: "DictConfig | None" = None

    def write(self) -> None:
        """Writes the configs of the jobs, and study.json, where earlier jobs stay unless they are superseded."""
        with lock_study(self.study):
            earlier = earlier_study(self.study)
            replaced = {job.run_id for job in self.jobs} | {one.run_id for one in self.superseded}
            others = [job for job in (earlier.jobs if earlier else []) if job.run_id not in replaced]
            for job in self.jobs:
                if job.run_id in self.configs:
                    job.write_config(self.configs[job.run_id])
            axes = {key: list(values) for key, values in (earlier.axes if earlier else {}).items()}
            for key, values in self.axes.items():
                axes[key] = list(dict.fromkeys([*axes.get(key, []), *values]))
            Study(self.study, axes, [*others, *self.jobs], self.superseded, self.facts).write()


def earlier_study(name: str) -> Study | None:
    """The study as it was planned last; None where it never was."""
    return read_study(name) if is_study(outputs() / name) else None


def config_section(cfg: "DictConfig", name: str) -> dict[str, object]:
    """A section of a config as plain values."""
    # here: a reused plan needs no OmegaConf
    from omegaconf import OmegaConf

    found = OmegaConf.to_container(cfg[name])
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}
