"""The plan of a search, and the job of each point that it draws."""

from collections.abc import Mapping, Sequence
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING

from siamese_lab.core.dotted import has_key
from siamese_lab.runs.job import Job
from siamese_lab.sweep.planning.hashes import data_fingerprint, data_roots, files_hash
from siamese_lab.sweep.planning.plan import Plan, config_section
from siamese_lab.sweep.planning.study_file import SweepRequest
from siamese_lab.sweep.planning.study_name import all_options

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

MAX_PROBES = 64  # combinations of options whose keys are looked at
_FINGERPRINTS: dict[str, str] = {}  # of the data that a search has loaded: it asks for one point after the other


def point_job(study: str, fixed: Sequence[str], config_dirs: Sequence[Path], values: dict[str, str]) -> tuple[Job, str]:
    """The job of one point of a search, and its config as yaml.

    Args:
        fixed: words that all points have.
        values: {key: value} of the point; what its options lack collapses.

    Raises:
        LabError: if it cannot run.
    """
    # here: torch takes long to import
    from siamese_lab.config.compose import config_text
    from siamese_lab.config.identity import resolved_hash
    from siamese_lab.sweep.planning.expand import expand

    ((kept, cfg),), _ = expand(fixed, [values], config_dirs, study, lenient=True)
    fingerprint = data_fingerprint(cfg, _FINGERPRINTS, files_hash(data_roots(cfg)))
    return Job(study, resolved_hash(cfg, fingerprint), kept, cfg.trainer.devices), config_text(cfg)


def plan_search(
    request: SweepRequest, fixed: Sequence[str], swept: Mapping[str, Sequence[str]], ranges: "Mapping[str, Override]"
) -> Plan:
    """The plan of a search: its space, and the config that its fixed words make.

    Args:
        fixed: words with one value.
        swept: {key: values} of the axes that have an end.
        ranges: {key: override} of those that have none.

    Raises:
        LabError: if a key fits no option, or the fixed words make no config.
    """
    # here: Hydra takes long to import
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from siamese_lab.config.compose import compose, skeleton

    groups = all_options(request.config_dirs)
    keys = {word: word.split("=")[0] for word in fixed}
    fixed_choices = [word for word, key in keys.items() if key in groups]
    choices = {group: values for group, values in swept.items() if group in groups}
    first = [f"{group}={values[0]}" for group, values in choices.items()]
    skeletons = [
        skeleton([*fixed_choices, *map("=".join, zip(choices, names, strict=True))], request.config_dirs)
        for names in islice(product(*choices.values()), MAX_PROBES)
    ]
    for key in [*keys.values(), *swept, *ranges]:
        if key not in groups and not key.startswith("+") and not any(has_key(one, key) for one in skeletons):
            word = next((word for word in fixed if word.startswith(f"{key}=")), f"{key}=1")
            compose([*fixed_choices, *first, word], request.config_dirs)  # its error names the nearest key
    known = [w for w, key in keys.items() if key in groups or key.startswith("+") or has_key(skeletons[0], key)]
    cfg = compose([*known, *first, f"study={request.name}"], request.config_dirs)
    parsed = map(OverridesParser.create().parse_override, request.words)
    roots = data_roots(cfg)
    axes = {key: list(values) for key, values in swept.items()}
    launcher = config_section(cfg, "launcher")
    return Plan(
        request.name,
        axes | {key: [str(one.input_line).partition("=")[2]] for key, one in ranges.items()},
        jobs=[],
        notes=[],
        facts={
            "key": request.key,
            "stamp": files_hash(roots),
            "roots": roots,
            "launcher": launcher,
            "search": config_section(cfg, "search"),
            "fixed": list(fixed),
            "config_dirs": [str(folder.resolve()) for folder in request.config_dirs],
        },
        launcher=launcher,
        space={one.key_or_group: one for one in parsed if one.key_or_group in {**swept, **ranges}},
        cfg=cfg,
    )
