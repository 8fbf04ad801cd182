"""The plan of a search, and the job of each point that it draws."""

from collections.abc import Sequence
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese_lab.core.dotted import has_key
from siamese_lab.runs.job import Job
from siamese_lab.sweep.planning import plan_cache
from siamese_lab.sweep.planning.data_fingerprints import fingerprint
from siamese_lab.sweep.planning.plan import Plan
from siamese_lab.sweep.planning.study_name import all_options, study_name

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

PROBED = 64  # combinations of options that are looked at for the keys of a search
_PRINTS: dict[str, str] = {}  # of data that a search has loaded already: it asks for one point after the other


def point_config(words: list[str], config_dirs: Sequence[Path], values: dict[str, str]) -> tuple[Job, str]:
    """The job of one point of a search, and its config as yaml.

    Args:
        words: the user's, of which those with several values or an interval are left out.
        config_dirs: folders with more options.
        values: {key: value} of the point; what its options lack collapses.

    Raises:
        LabError: if it cannot run.
    """
    from siamese_lab.config.compose import config_text
    from siamese_lab.config.identity import resolved_hash
    from siamese_lab.sweep.planning import grid
    from siamese_lab.sweep.planning.expand import expand

    fixed, _, _ = grid.read_axes(words, all_options(config_dirs))
    name = study_name(words, config_dirs, (), ())
    expanded = expand(
        [word for word in fixed if not word.startswith("study=")], [values], config_dirs, name, lenient=True
    )
    (kept, cfg) = expanded.configs[0]
    prints = fingerprint(cfg, _PRINTS, plan_cache.stamp([str(cfg.data.root)] if cfg.data.get("root") else []))
    return Job(name, resolved_hash(cfg, prints), kept, cfg.trainer.devices), config_text(cfg)


def searched(
    name: str,
    fixed: list[str],
    swept: dict[str, list[str]],
    ranges: "dict[str, Override]",
    every: Sequence[str],
    config_dirs: Sequence[Path],
    key: str,
) -> Plan:
    """The plan of a search: its space, and the config that its fixed words make.

    Args:
        name: of the study.
        fixed: words without several values.
        swept: {key: values} of the axes that have an end.
        ranges: {key: override} of those that have none.
        every: all words.
        config_dirs: folders with more options.
        key: of words, options and code, see `earlier.hashed`.

    Raises:
        LabError: if a key fits no option, or the fixed words make no config.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    from siamese_lab.config.compose import compose, skeleton

    known = all_options(config_dirs)
    choices = {group: values for group, values in swept.items() if group in known}
    first = {group: values[0] for group, values in choices.items()}
    taken = [dict(zip(choices, values, strict=True)) for values in islice(product(*choices.values()), PROBED)]
    fixed_choices = [word for word in fixed if word.split("=")[0] in known]
    skeletons = [skeleton([*fixed_choices, *(f"{k}={v}" for k, v in one.items())], config_dirs) for one in taken]
    keys = [
        key
        for key in [*(word.split("=")[0] for word in fixed), *swept, *ranges]
        if key not in known and not key.startswith("+")
    ]
    for one in keys:
        if not any(has_key(plain_keys, one) for plain_keys in skeletons):
            value = next((word for word in fixed if word.startswith(f"{one}=")), f"{one}=1")
            # says what the nearest key is
            compose([*fixed_choices, *(f"{k}={v}" for k, v in first.items()), value], config_dirs)
    kept = [
        word
        for word in fixed
        if word.split("=")[0] in known or word.startswith("+") or has_key(skeletons[0], word.split("=")[0])
    ]
    cfg = compose([*kept, *(f"{group}={value}" for group, value in first.items()), f"study={name}"], config_dirs)
    parser = OverridesParser.create()
    parsed = {override.key_or_group: override for override in map(parser.parse_override, every)}
    space = {k: override for k, override in parsed.items() if k in swept or k in ranges}
    plain: dict[str, Any] = OmegaConf.to_container(cfg)  # type: ignore[assignment]
    roots = [str(cfg.data.root)] if cfg.data.get("root") else []
    facts = {
        "key": key,
        "stamp": plan_cache.stamp(roots),
        "roots": roots,
        "launcher": plain["launcher"],
        "search": plain["search"],
        "fixed": fixed,
        "config_dirs": [str(folder.resolve()) for folder in config_dirs],
    }
    shown = {k: list(values) for k, values in swept.items()} | {
        k: [str(o.input_line).partition("=")[2]] for k, o in ranges.items()
    }
    return Plan(name, shown, [], [], plain["launcher"], plain["search"], space=space, fixed=fixed, facts=facts, cfg=cfg)
