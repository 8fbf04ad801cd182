"""What a sweep asks for, as a record: made by `planning.py`, printed by `plan.py`, run by `sweep.py`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from siamese_lab.runs.job import Job
from siamese_lab.runs.study import Study, Superseded, lock_study
from siamese_lab.sweep.planning import plan_cache

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Plan:
    """The jobs of a sweep.

    Args:
        study: its name.
        axes: {key: values}.
        jobs: in the order in which they are started; none for a search, which decides as it goes.
        notes: what the user is told: collapsed axes, combinations left out, runs that no longer count.
        launcher: the section of the config.
        search: the section of the config; None = every combination.
        budget: of the study file.
        space: of a search, {key: override with several values or an interval}.
        fixed: words that all runs have.
        configs: {run id: yaml text} of the jobs; empty where the plan was made before.
        superseded: runs of the study that no longer answer their points.
        facts: for study.json.
        cfg: a composed config of the study; None where the plan was made before.
    """

    study: str
    axes: dict[str, list[str]]
    jobs: list[Job]
    notes: list[str]
    launcher: dict[str, Any]
    search: dict[str, Any] | None = None
    budget: dict[str, Any] = field(default_factory=dict)
    space: "dict[str, Override]" = field(default_factory=dict)
    fixed: list[str] = field(default_factory=list)
    configs: dict[str, str] = field(default_factory=dict)
    superseded: list[Superseded] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    cfg: "DictConfig | None" = None

    def write(self) -> None:
        """Writes the configs of the jobs and study.json; jobs of earlier plans stay, unless they no longer answer their
        points.
        """
        with lock_study(self.study):
            before = plan_cache.before(self.study)
            mine, gone = {job.run_id for job in self.jobs}, {one.run_id for one in self.superseded}
            others = [job for job in (before.jobs if before else []) if job.run_id not in mine | gone]
            for job in self.jobs:
                if job.run_id in self.configs:
                    job.write_config(self.configs[job.run_id])
            axes = {key: list(values) for key, values in (before.axes if before else {}).items()}
            for key, values in self.axes.items():
                axes[key] = list(dict.fromkeys([*axes.get(key, []), *values]))
            Study(self.study, axes, [*others, *self.jobs], self.superseded, self.facts).write()
