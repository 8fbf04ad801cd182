"""Plans a sweep: its jobs, with their run ids. An earlier plan of the same words, options, code and data is reused."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from siamese_lab.core.errors import LabError
from siamese_lab.core.text import nearest
from siamese_lab.runs.job import Job
from siamese_lab.runs.provenance import code_hash, versions
from siamese_lab.sweep.planning.hashes import data_fingerprint, data_roots, files_hash, options_hash, short_hash
from siamese_lab.sweep.planning.plan import Plan, config_section
from siamese_lab.sweep.planning.plan_cache import find_superseded, reusable_plan
from siamese_lab.sweep.planning.study_file import SweepRequest, find_study_file, read_study_file, study_file_names
from siamese_lab.sweep.planning.study_name import all_options, refuse_study_name, study_name


def plan_study(
    words: Sequence[str],
    config_dirs: Sequence[Path] = (),
    zips: Sequence[str] = (),
    cases: Sequence[str] = (),
    skip_unfit: bool = False,
    execute: Callable[[Callable[[], Plan]], Plan] = lambda build: build(),
) -> Plan:
    """Plans a sweep, and checks all of it.

    Args:
        words: overrides in Hydra's grammar, some with several values.
        config_dirs: folders with more options.
        zips: "key,key": axes that go together.
        cases: "key=value key=value": points of a list.
        skip_unfit: leave out combinations that cannot work.
        execute: calls the function that builds a new plan; it imports torch.

    Raises:
        LabError: with all that is wrong.
    """
    path = find_study_file(words, config_dirs)
    asked = read_study_file(path) if path is not None else SweepRequest()
    own = [word for word in words if not word.startswith("study=")] if path is not None else words
    request = replace(
        asked,
        words=[*asked.words, *own],
        zips=[*asked.zips, *zips],
        cases=[*asked.cases, *cases],
        config_dirs=list(config_dirs),
        skip_unfit=skip_unfit,
    )
    parts = [request.words, request.exclude, request.budget, request.zips, request.cases, skip_unfit]
    key = short_hash([*parts, options_hash(config_dirs), code_hash(), versions()])
    name = request.name or study_name(request.words, config_dirs, request.zips, request.cases)
    refuse_study_name(name)
    return reusable_plan(name, key) or execute(partial(_build_plan, replace(request, name=name, key=key)))


def refuse_over_budget(plan: Plan) -> None:
    """Refuses a plan with more runs than its study file allows.

    Raises:
        LabError: with both numbers.
    """
    limit = plan.facts.get("budget", {}).get("runs")
    if limit is not None and len(plan.jobs) > limit:
        raise LabError(
            f"the study {plan.study} has {len(plan.jobs)} runs, its budget allows {limit}: raise budget.runs, or drop "
            "values"
        )


def _build_plan(request: SweepRequest) -> Plan:
    # here: Hydra and torch take seconds to import, and a reused plan needs neither
    from siamese_lab.config.compose import config_text
    from siamese_lab.config.identity import resolved_hash
    from siamese_lab.sweep.planning import grid
    from siamese_lab.sweep.planning.expand import expand

    fixed, swept, ranges = grid.read_axes(request.words, all_options(request.config_dirs))
    if bad := [key for key in [*swept, *ranges] if key.split(".")[0] in grid.ONE_PER_STUDY]:
        raise LabError(f"{bad[0]} takes one value: a study has one launcher, one search and one name")
    if not (swept or ranges or request.cases) and request.file is None:
        _refuse_no_axis(request)
    cases = [grid.read_case(case) for case in request.cases]
    searching = any(word.startswith("search=") and word != "search=null" for word in fixed)
    fixed = [word for word in fixed if not word.startswith("study=")]
    if searching:
        from siamese_lab.sweep.planning.search_plan import plan_search

        _refuse_for_search(request)
        return plan_search(request, fixed, swept, ranges)
    if ranges:
        raise LabError(
            f"{next(iter(ranges))} has no end of values: write a list, a,b,c, or look for the best with search=tpe"
        )
    points = grid.grid_points(swept, request.zips, cases)
    expanded, left_out = expand(fixed, points, request.config_dirs, request.name, request.exclude, request.skip_unfit)
    fingerprints: dict[str, str] = {}
    jobs, configs = [], {}
    for kept, cfg in expanded:
        run_id = resolved_hash(cfg, data_fingerprint(cfg, fingerprints))
        jobs.append(Job(request.name, run_id, kept, cfg.trainer.devices))
        configs[run_id] = config_text(cfg)
    superseded, notes = find_superseded(request.name, jobs, configs)
    cfg = expanded[0][1]
    roots = sorted({root for _, one in expanded for root in data_roots(one)})
    case_keys = dict.fromkeys(key for case in cases for key in case)
    launcher = config_section(cfg, "launcher")
    return Plan(
        request.name,
        swept | {key: list(dict.fromkeys(j.point[key] for j in jobs if key in j.point)) for key in case_keys},
        jobs,
        [*left_out, *notes],
        facts={
            "key": request.key,
            "stamp": files_hash(roots),
            "roots": roots,
            "ids": [job.run_id for job in jobs],
            "launcher": launcher,
            "budget": request.budget,
            "fixed": fixed,
            "config_dirs": [str(folder.resolve()) for folder in request.config_dirs],
            "code": code_hash(),
            "versions": versions(),
        },
        launcher=launcher,
        configs=configs,
        superseded=superseded,
        cfg=cfg,
    )


def _refuse_no_axis(request: SweepRequest) -> None:
    files = study_file_names(request.config_dirs)
    hint = nearest(request.name, files)
    unknown = f"; no study file {request.name}{hint}" if hint else ""
    raise LabError(
        f"a sweep needs an axis, a key with several values, e.g. seed=1,2,3{unknown} "
        f"(study files: {', '.join(files) or 'none'})"
    )


def _refuse_for_search(request: SweepRequest) -> None:
    if request.zips or request.cases:
        raise LabError("a search draws each axis by itself: leave out --zip and --case, or search=...")
    if request.exclude:
        raise LabError(
            f"a search cannot leave out what {request.file} excludes: take exclude out of it, or leave out search=..."
        )
    if request.budget:
        raise LabError(
            f"a search has no budget but search.trials: take budget out of {request.file}, or leave out search=..."
        )
