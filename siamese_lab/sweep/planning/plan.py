"""The plan of a sweep: what `planner.py` makes, `siamese-lab plan` prints and `train -m` runs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from siamese_lab.core.paths import outputs
from siamese_lab.runs.job import Job
from siamese_lab.runs.listing import is_study
from siamese_lab.runs.study import Budget, Study, StudyFacts, Superseded, lock_study, read_study

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig


@dataclass(frozen=True)
class SweepRequest:
    """What the command line and the study file ask for together.

    Args:
        name: of the study.
        words: all overrides, those with several values among them.
        config_dirs: folders with more options.
        zips: "key,key": axes that go together.
        cases: "key=value key=value": points of a list.
        exclude: combinations that are left out, {key: value}.
        budget: of the study file.
        file: the study file, if there is one.
        skip_unfit: whether combinations that cannot work are left out instead of refused.
        key: the hash of all this and of the code.
    """

    name: str
    words: list[str]
    config_dirs: list[Path]
    zips: list[str]
    cases: list[str]
    exclude: list[dict[str, str]]
    budget: Budget
    file: Path | None
    skip_unfit: bool
    key: str


@dataclass(frozen=True)
class Plan:
    """The jobs of a sweep.

    Args:
        study: its name.
        axes: {key: values}.
        jobs: in the order in which they are started; none for a search, which decides as it goes.
        notes: what the user is told: collapsed axes, combinations left out, runs that no longer count.
        launcher: the section of the config; empty where an earlier plan is reused, which has nothing to do.
        search: the section of the config; None = every combination.
        budget: of the study file.
        space: of a search, {key: override with several values or an interval}.
        fixed: words that all runs have.
        configs: {run id: yaml text} of the jobs; empty where an earlier plan is reused.
        superseded: runs of the study that no longer answer their points.
        facts: for study.json.
        cfg: a composed config of the study; None where an earlier plan is reused.
    """

    study: str
    axes: dict[str, list[str]]
    jobs: list[Job]
    notes: list[str]
    launcher: dict[str, object]
    search: dict[str, object] | None = None
    budget: Budget = field(default_factory=Budget)
    space: "dict[str, Override]" = field(default_factory=dict)
    fixed: list[str] = field(default_factory=list)
    configs: dict[str, str] = field(default_factory=dict)
    superseded: list[Superseded] = field(default_factory=list)
    facts: StudyFacts = field(default_factory=StudyFacts)
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
    from omegaconf import OmegaConf

    found = OmegaConf.to_container(cfg[name])
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}
