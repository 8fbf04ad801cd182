"""What a sweep asks for: its jobs, with their run ids. A plan made before of the same words, options and data is not made again."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese_lab.catalogue import config_dir, folders, groups, nearest, options
from siamese_lab.errors import LabError
from siamese_lab.files import write_text
from siamese_lab.provenance import code_hash, versions
from siamese_lab.runs import outputs, refuse_study
from siamese_lab.sweep import earlier, search_done, study_file
from siamese_lab.sweep.job import Job
from siamese_lab.sweep.study import Study, Superseded, changing

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

PROBED = 64  # combinations of options that are looked at for the keys of a search
ASIDE = ("study", "launcher", "search", "trainer.progress")
"""Keys that do not make another study of a sweep that bears no name."""


_PRINTS: dict[str, str] = {}  # of data that a search has loaded already: it asks for one point after the other


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
        """Writes the configs of the jobs and study.json; jobs of earlier plans stay, unless they no longer answer their points."""
        with changing(self.study):
            before = earlier.before(self.study)
            mine, gone = {job.run_id for job in self.jobs}, {one.run_id for one in self.superseded}
            others = [job for job in (before.jobs if before else []) if job.run_id not in mine | gone]
            folder = outputs() / self.study / "jobs"
            for run_id, text in self.configs.items():
                write_text(folder / f"{run_id}.yaml", text)
            axes = {key: list(values) for key, values in (before.axes if before else {}).items()}
            for key, values in self.axes.items():
                axes[key] = list(dict.fromkeys([*axes.get(key, []), *values]))
            Study(self.study, axes, [*others, *self.jobs], self.superseded, self.facts).write()


def planned(
    words: Sequence[str],
    config_dirs: Sequence[Path] = (),
    zips: Sequence[str] = (),
    cases: Sequence[str] = (),
    skip_unfit: bool = False,
    anew: Callable[[Callable[[], Plan]], Plan] = lambda make: make(),
) -> Plan:
    """Makes the plan of a sweep, and checks all of it.

    Args:
        words: overrides in Hydra's grammar, some with several values.
        config_dirs: folders with more options.
        zips: "key,key": axes that go together.
        cases: "key=value key=value": points of a list.
        skip_unfit: leave out combinations that cannot work.
        anew: calls what makes a plan where none of before holds, which needs torch.

    Raises:
        LabError: with all that is wrong.
    """
    path = study_file.named(words, config_dirs)
    asked = study_file.read(path) if path is not None else study_file.StudyFile()
    own = [word for word in words if not word.startswith("study=")] if path is not None else list(words)
    every = [*asked.overrides, *asked.axes, *own]
    zips, cases = [*asked.zips, *zips], [*asked.cases, *cases]
    key = earlier.hashed(
        [every, asked.exclude, asked.budget, zips, cases, skip_unfit, earlier.contents(config_dirs), code_hash(), versions()]
    )
    name = asked.name or _study_name(every, config_dirs, zips, cases)
    _refuse_name(name)
    found = earlier.still(name, key)
    if found is None and search_done.told(name, key) is not None:
        study = Study.read(name)
        return Plan(name, study.axes, [], [], study.facts["launcher"], study.facts["search"], fixed=study.facts["fixed"], facts=study.facts)
    if found is None:
        return anew(partial(_made, every, config_dirs, zips, cases, skip_unfit, asked, name, key))
    study, jobs = found
    facts = study.facts
    more = {"budget": facts.get("budget", {}), "fixed": facts.get("fixed", []), "superseded": study.superseded, "facts": facts}
    return Plan(name, study.axes, jobs, [], facts["launcher"], **more)


def point(words: list[str], config_dirs: Sequence[Path], values: dict[str, str]) -> tuple[Job, str]:
    """The job of one point of a search, and its config as yaml.

    Args:
        words: the user's, of which those with several values or an interval are left out.
        config_dirs: folders with more options.
        values: {key: value} of the point; what its options lack collapses.

    Raises:
        LabError: if it cannot run.
    """
    from siamese_lab import config
    from siamese_lab.sweep import axes
    from siamese_lab.sweep.combining import combined

    fixed, _, _ = axes.read(words, _options(config_dirs))
    name = _study_name(words, config_dirs, (), ())
    made = combined([word for word in fixed if not word.startswith("study=")], [values], config_dirs, name, lenient=True)
    (kept, cfg) = made.configs[0]
    prints = _fingerprint(cfg, _PRINTS, earlier.stamp([str(cfg.data.root)] if cfg.data.get("root") else []))
    return Job(name, config.resolved_hash(cfg, prints), kept, cfg.trainer.devices), config.printed(cfg)


def refuse_over_budget(plan: Plan) -> None:
    """Refuses a plan with more runs than its study file allows.

    Raises:
        LabError: with both numbers.
    """
    limit = plan.budget.get("runs")
    if limit is not None and len(plan.jobs) > limit:
        raise LabError(f"the study {plan.study} has {len(plan.jobs)} runs, its budget allows {limit}: raise budget.runs, or drop values")


def _made(
    every: list[str],
    config_dirs: Sequence[Path],
    zips: Sequence[str],
    cases: Sequence[str],
    skip_unfit: bool,
    asked: study_file.StudyFile,
    name: str,
    key: str,
) -> Plan:
    from omegaconf import OmegaConf

    from siamese_lab import config
    from siamese_lab.sweep import axes
    from siamese_lab.sweep.combining import combined

    fixed, swept, ranges = axes.read(every, _options(config_dirs))
    if bad := [one for one in [*swept, *ranges] if one.split(".")[0] in axes.OF_ALL]:
        raise LabError(f"{bad[0]} takes one value: a study has one launcher, one search and one name")
    searching = any(word.startswith("search=") and word != "search=null" for word in fixed)
    if not (swept or ranges or cases) and asked.path is None:
        files = study_file.names(config_dirs)
        hint = nearest(name, files)
        raise LabError(
            f"a sweep needs an axis, a key with several values, e.g. seed=1,2,3{hint and f'; no study file {name}{hint}'} "
            f"(study files: {', '.join(files) or 'none'})"
        )
    if ranges and not searching:
        raise LabError(f"{next(iter(ranges))} has no end of values: write a list, a,b,c, or look for the best with search=tpe")
    listed = [axes.case(one) for one in cases]
    fixed = [word for word in fixed if not word.startswith("study=")]
    if searching and (zips or cases):
        raise LabError("a search draws each axis by itself: leave out --zip and --case, or search=...")
    if searching and asked.exclude:
        raise LabError(f"a search cannot leave out what {asked.path} excludes: take exclude out of it, or leave out search=...")
    if searching:
        return _searched(name, fixed, swept, ranges, every, config_dirs, key)
    made = combined(fixed, axes.points(swept, zips, listed), config_dirs, name, asked.exclude, skip_unfit)
    prints: dict[str, str] = {}
    jobs = [Job(name, config.resolved_hash(cfg, _fingerprint(cfg, prints)), kept, cfg.trainer.devices) for kept, cfg in made.configs]
    configs = {job.run_id: config.printed(cfg) for job, (_, cfg) in zip(jobs, made.configs, strict=True)}
    cfg = made.configs[0][1]
    superseded, notes = earlier.superseded(name, jobs, configs)
    plain: dict[str, Any] = OmegaConf.to_container(cfg)  # type: ignore[assignment]
    roots = sorted({str(one.data.root) for _, one in made.configs if one.data.get("root")})
    shown = dict(swept) | {k: list(dict.fromkeys(job.point[k] for job in jobs if k in job.point)) for one in listed for k in one}
    facts = {
        "key": key,
        "stamp": earlier.stamp(roots),
        "roots": roots,
        "ids": [job.run_id for job in jobs],
        "launcher": plain["launcher"],
        "budget": asked.budget,
        "fixed": fixed,
        "config_dirs": [str(folder.resolve()) for folder in config_dirs],
        "code": code_hash(),
        "versions": versions(),
    }
    return Plan(
        study=name,
        axes=shown,
        jobs=jobs,
        notes=[*made.notes, *notes],
        launcher=plain["launcher"],
        budget=asked.budget,
        fixed=fixed,
        configs=configs,
        superseded=superseded,
        facts=facts,
        cfg=cfg,
    )


def _searched(
    name: str,
    fixed: list[str],
    swept: dict[str, list[str]],
    ranges: "dict[str, Override]",
    every: Sequence[str],
    config_dirs: Sequence[Path],
    key: str,
) -> Plan:
    """The plan of a search: its space, and the config that its fixed words make."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    from siamese_lab import config
    from siamese_lab.overrides import has

    known = _options(config_dirs)
    choices = {group: values for group, values in swept.items() if group in known}
    first = {group: values[0] for group, values in choices.items()}
    taken = [dict(zip(choices, values, strict=True)) for values in islice(product(*choices.values()), PROBED)]
    fixed_choices = [word for word in fixed if word.split("=")[0] in known]
    skeletons = [config.skeleton([*fixed_choices, *(f"{k}={v}" for k, v in one.items())], config_dirs) for one in taken]
    keys = [key for key in [*(word.split("=")[0] for word in fixed), *swept, *ranges] if key not in known and not key.startswith("+")]
    for one in keys:
        if not any(has(plain_keys, one) for plain_keys in skeletons):
            value = next((word for word in fixed if word.startswith(f"{one}=")), f"{one}=1")
            config.compose([*fixed_choices, *(f"{k}={v}" for k, v in first.items()), value], config_dirs)  # says what the nearest key is
    kept = [word for word in fixed if word.split("=")[0] in known or word.startswith("+") or has(skeletons[0], word.split("=")[0])]
    cfg = config.compose([*kept, *(f"{group}={value}" for group, value in first.items()), f"study={name}"], config_dirs)
    parser = OverridesParser.create()
    parsed = {override.key_or_group: override for override in map(parser.parse_override, every)}
    space = {k: override for k, override in parsed.items() if k in swept or k in ranges}
    plain: dict[str, Any] = OmegaConf.to_container(cfg)  # type: ignore[assignment]
    roots = [str(cfg.data.root)] if cfg.data.get("root") else []
    facts = {
        "key": key,
        "stamp": earlier.stamp(roots),
        "roots": roots,
        "launcher": plain["launcher"],
        "search": plain["search"],
        "fixed": fixed,
        "config_dirs": [str(folder.resolve()) for folder in config_dirs],
    }
    shown = {k: list(values) for k, values in swept.items()} | {k: [str(o.input_line).partition("=")[2]] for k, o in ranges.items()}
    return Plan(name, shown, [], [], plain["launcher"], plain["search"], space=space, fixed=fixed, facts=facts, cfg=cfg)


def _fingerprint(cfg: "DictConfig", known: dict[str, str], stamp: str | None = None) -> str:
    """Of the data that a config names, which are loaded once for each `stamp`."""
    from siamese_lab.assembly import load

    section = json.dumps([_plain(cfg.data), stamp], sort_keys=True)
    if section not in known:
        known[section] = load(cfg).fingerprint
    return known[section]


def _plain(node: Any) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(node, resolve=True)


def _study_name(every: Sequence[str], config_dirs: Sequence[Path], zips: Sequence[str], cases: Sequence[str]) -> str:
    """The study's name: the given one, else after its axes and a hash of what its runs share."""
    given = next((word.partition("=")[2] for word in reversed(every) if word.startswith("study=")), None)
    if given is not None:
        return given
    from siamese_lab.sweep import axes

    fixed, swept, ranges = axes.read(every, _options(config_dirs))
    keys = list(dict.fromkeys([*swept, *ranges, *(key for one in cases for key in axes.case(one))]))
    shared = sorted(word for word in fixed if not word.startswith(ASIDE))
    words = [key.rpartition(".")[2].partition("@")[0].strip("+") for key in keys if key != "seed"] or ["seeds"]
    return f"{'_x_'.join(words)[:80]}-{earlier.hashed([shared, sorted(keys), sorted([*zips, *cases])])[:6]}"


def _options(config_dirs: Sequence[Path]) -> dict[str, list[str]]:
    dirs = folders(config_dir(), config_dirs)
    return {group: options(group, dirs) for group in groups(dirs)}


def _refuse_name(name: str) -> None:
    refuse_study(name)
    if name == "single":
        raise LabError("study=single is where runs lie that belong to no study: give the sweep another name, or none")
