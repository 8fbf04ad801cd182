"""What a sweep asks for: its jobs, with their run ids. A plan made before of the same words, options and data is not
made again.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from siamese_lab.core.errors import LabError
from siamese_lab.core.text import nearest
from siamese_lab.runs.job import Job
from siamese_lab.runs.provenance import code_hash, versions
from siamese_lab.runs.study import read_study
from siamese_lab.sweep.planning import plan_cache, study_file
from siamese_lab.sweep.planning.data_fingerprints import fingerprint
from siamese_lab.sweep.planning.finished_search import valid_finished_search
from siamese_lab.sweep.planning.plan import Plan
from siamese_lab.sweep.planning.study_name import all_options, refuse_name, study_name


def plan_study(
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
    path = study_file.study_given(words, config_dirs)
    asked = study_file.read_study_file(path) if path is not None else study_file.StudyFile()
    own = [word for word in words if not word.startswith("study=")] if path is not None else list(words)
    every = [*asked.overrides, *asked.axes, *own]
    zips, cases = [*asked.zips, *zips], [*asked.cases, *cases]
    key = plan_cache.hashed(
        [
            every,
            asked.exclude,
            asked.budget,
            zips,
            cases,
            skip_unfit,
            plan_cache.contents(config_dirs),
            code_hash(),
            versions(),
        ]
    )
    name = asked.name or study_name(every, config_dirs, zips, cases)
    refuse_name(name)
    found = plan_cache.still(name, key)
    if found is None and valid_finished_search(name, key) is not None:
        study = read_study(name)
        return Plan(
            name,
            study.axes,
            [],
            [],
            study.facts["launcher"],
            study.facts["search"],
            fixed=study.facts["fixed"],
            facts=study.facts,
        )
    if found is None:
        return anew(partial(_build_plan, every, config_dirs, zips, cases, skip_unfit, asked, name, key))
    study, jobs = found
    facts = study.facts
    more = {
        "budget": facts.get("budget", {}),
        "fixed": facts.get("fixed", []),
        "superseded": study.superseded,
        "facts": facts,
    }
    return Plan(name, study.axes, jobs, [], facts["launcher"], **more)


def refuse_over_budget(plan: Plan) -> None:
    """Refuses a plan with more runs than its study file allows.

    Raises:
        LabError: with both numbers.
    """
    limit = plan.budget.get("runs")
    if limit is not None and len(plan.jobs) > limit:
        raise LabError(
            f"the study {plan.study} has {len(plan.jobs)} runs, its budget allows {limit}: raise budget.runs, or drop "
            "values"
        )


def _build_plan(
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

    from siamese_lab.config.compose import config_text
    from siamese_lab.config.identity import resolved_hash
    from siamese_lab.sweep.planning import grid
    from siamese_lab.sweep.planning.expand import expand

    fixed, swept, ranges = grid.read_axes(every, all_options(config_dirs))
    if bad := [one for one in [*swept, *ranges] if one.split(".")[0] in grid.OF_ALL]:
        raise LabError(f"{bad[0]} takes one value: a study has one launcher, one search and one name")
    searching = any(word.startswith("search=") and word != "search=null" for word in fixed)
    if not (swept or ranges or cases) and asked.path is None:
        files = study_file.study_files(config_dirs)
        hint = nearest(name, files)
        raise LabError(
            f"a sweep needs an axis, a key with several values, e.g. "
            f"seed=1,2,3{hint and f'; no study file {name}{hint}'} "
            f"(study files: {', '.join(files) or 'none'})"
        )
    if ranges and not searching:
        raise LabError(
            f"{next(iter(ranges))} has no end of values: write a list, a,b,c, or look for the best with search=tpe"
        )
    listed = [grid.read_case(one) for one in cases]
    fixed = [word for word in fixed if not word.startswith("study=")]
    if searching and (zips or cases):
        raise LabError("a search draws each axis by itself: leave out --zip and --case, or search=...")
    if searching and asked.exclude:
        raise LabError(
            f"a search cannot leave out what {asked.path} excludes: take exclude out of it, or leave out search=..."
        )
    if searching and asked.budget:
        raise LabError(
            f"a search has no budget but search.trials: take budget out of {asked.path}, or leave out search=..."
        )
    if searching:
        from siamese_lab.sweep.planning.search_plan import searched

        return searched(name, fixed, swept, ranges, every, config_dirs, key)
    expanded = expand(fixed, grid.grid_points(swept, zips, listed), config_dirs, name, asked.exclude, skip_unfit)
    prints: dict[str, str] = {}
    jobs = [
        Job(name, resolved_hash(cfg, fingerprint(cfg, prints)), kept, cfg.trainer.devices)
        for kept, cfg in expanded.configs
    ]
    configs = {job.run_id: config_text(cfg) for job, (_, cfg) in zip(jobs, expanded.configs, strict=True)}
    cfg = expanded.configs[0][1]
    superseded, notes = plan_cache.superseded(name, jobs, configs)
    plain: dict[str, Any] = OmegaConf.to_container(cfg)  # type: ignore[assignment]
    roots = sorted({str(one.data.root) for _, one in expanded.configs if one.data.get("root")})
    shown = dict(swept) | {
        k: list(dict.fromkeys(job.point[k] for job in jobs if k in job.point)) for one in listed for k in one
    }
    facts = {
        "key": key,
        "stamp": plan_cache.stamp(roots),
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
        notes=[*map(str, [*expanded.collapsed, *expanded.unfit]), *notes],
        launcher=plain["launcher"],
        budget=asked.budget,
        fixed=fixed,
        configs=configs,
        superseded=superseded,
        facts=facts,
        cfg=cfg,
    )
