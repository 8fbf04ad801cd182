"""A comparison as data for other programs: CSV and JSON."""

import csv
import io
import json
from dataclasses import asdict

from siamese_lab.compare.analysis.comparison import COSTS, Comparison, Configuration, Contrast
from siamese_lab.compare.report import sentences
from siamese_lab.core.files import SCHEMA_VERSION
from siamese_lab.statistics.estimates import Estimate


def comma_separated(comparison: Comparison) -> str:
    """One line a configuration: axes, mean, interval, difference to the best, costs. Shares are in [0, 1]."""
    against = {one.right: one for one in comparison.contrasts if one.left is comparison.configurations[0]}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    behind = ["behind_best", "behind_best_low", "behind_best_high", "behind_best_p_adjusted"]
    means = ["metric", "part", "unit", "better", "seeds", "mean", "low", "high", "over", "identities"]
    writer.writerow([*comparison.axes, *means, *behind, *COSTS, *(f"front_{cost}" for cost in COSTS)])
    facts = [comparison.metric, comparison.part, comparison.unit, comparison.better]
    for one in comparison.configurations:
        estimate, contrast = one.estimate, against.get(one)
        gain = contrast.gain if contrast else None
        differs = [gain.value, gain.low, gain.high, contrast.adjusted] if gain and contrast else [None] * 4
        fronts = [int(one in comparison.fronts.get(cost, [])) for cost in COSTS]
        mean = [len(one.seeds), estimate.value, estimate.low, estimate.high, estimate.over, estimate.identities]
        costs = [one.cost.get(cost) for cost in COSTS]
        writer.writerow([*(one.point.get(axis) for axis in comparison.axes), *facts, *mean, *differs, *costs, *fronts])
    return file.getvalue()


def as_json(comparison: Comparison) -> str:
    """The whole comparison as JSON."""
    number = {one: index for index, one in enumerate(comparison.configurations)}
    content = {
        "schema": SCHEMA_VERSION,
        **{key: vars(comparison)[key] for key in ("title", "metric", "unit", "better", "part")},
        "part_words": sentences.part_phrase(comparison),
        "axes": list(comparison.axes),
        "by": list(comparison.by),
        "configurations": [_configuration(one) for one in comparison.configurations],
        "contrasts": [_contrast(one, number, comparison) for one in comparison.contrasts],
        "family": sentences.family_sentence(comparison),
        "generalises": sentences.scope_sentence(comparison),
        "fronts": {cost: [number[one] for one in found] for cost, found in comparison.fronts.items()},
        "notes": sentences.caveats(comparison),
        "left_out": [{"run": run.name, "state": run.state, "why": run.why} for run in comparison.left_out],
        "openings": [dict(one) for one in comparison.openings],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _estimate(estimate: Estimate) -> dict[str, object]:
    return {**asdict(estimate), "note": sentences.estimate_note(estimate)}


def _configuration(one: Configuration) -> dict[str, object]:
    return {
        "point": dict(one.point),
        "seeds": list(one.seeds),
        "values": list(one.values),
        "runs": [run.name for run in one.runs],
        "estimate": _estimate(one.estimate),
        "cost": dict(one.cost),
    }


def _contrast(one: Contrast, number: dict[Configuration, int], comparison: Comparison) -> dict[str, object]:
    return {
        "better": number[one.left],
        "worse": number[one.right],
        "seeds": list(one.seeds),
        "gain": _estimate(one.gain) if one.gain else None,
        "p_adjusted": one.adjusted,
        "shown": one.shown,
        "note": sentences.contrast_note(one),
        "sentence": sentences.contrast_sentence(one, comparison),
    }
