"""Studies of made-up runs: the files of a real run with other values, so that comparisons are tested by the thousand in
seconds.
"""

import hashlib
import json
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import yaml
from scipy.special import ndtr, ndtri

from siamese_lab.core.files import write_json
from siamese_lab.runs.error_curves import subsample_curve, write_curves
from siamese_lab.runs.influences import write_influences
from siamese_lab.statistics.influence import Figure

SEEDS = ("0", "1", "2")
COST = {"conv4": (8_272, 231_424), "lenet": (21_000, 120_000), "koch": (900_000, 5_000_000), "mlp": (400_000, 400_000)}


def run_id(*parts):
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def truth(point):
    """A mean error of a configuration, a share: triplet is 2 points better than contrastive, and margins matter a
    little.
    """
    loss = {"contrastive": 0.12, "triplet": 0.10, "supcon": 0.098}.get(point.get("loss"), 0.11)
    backbone = {"lenet": 0.015, "koch": -0.01, "mlp": 0.05}.get(point.get("backbone"), 0.0)
    return loss + backbone + 0.02 * (float(point.get("loss.margin", 0.3)) - 0.3) ** 2


def points(axes):
    """The cross product of the axes; supcon has no margin, so that axis collapses for it."""
    made = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    kept = [{k: v for k, v in one.items() if not (one.get("loss") == "supcon" and k == "loss.margin")} for one in made]
    return list({json.dumps(one): one for one in kept}.values())


def folder(
    template,
    root,
    study,
    point,
    seed,
    *,
    effect=truth,
    identities=200,
    seed_scatter=0.002,
    noise=0.02,
    state="ok",
    config=None,
    info=None,
    metrics=None,
    tag="",
):
    """Writes one run; returns its run id. `template`: a real finished run's folder."""
    name = run_id(study, point, seed, tag)
    path = Path(root) / study / name
    path.mkdir(parents=True)
    cfg = yaml.load((template / "config.yaml").read_text(), Loader=yaml.CSafeLoader)
    cfg |= {"seed": int(seed), "study": study}
    for key, value in {**point, **(config or {})}.items():
        *sections, last = key.split(".")
        at = cfg
        for section in sections:
            at = at[section]
        if isinstance(at.get(last), dict):
            cfg["choices"][key] = value
            at[last] = {**at[last], "_target_": f"siamese_lab.{key}.{value}"}
        else:
            at[last] = yaml.safe_load(value)
    (path / "config.yaml").write_text(yaml.dump(cfg, sort_keys=False, Dumper=yaml.CSafeDumper))
    known = json.loads((template / "run.json").read_text())
    parameters, multiply_adds = COST.get(point.get("backbone", "conv4"), COST["conv4"])
    known |= {
        "run_id": name,
        "study": study,
        "state": state,
        "cost": {"parameters": parameters, "multiply_adds": multiply_adds},
    }
    (path / "run.json").write_text(json.dumps(known | (info or {}), indent=2))
    if state not in ("ok", "timeout"):
        return name
    rng = np.random.default_rng([int(run_id(point)[:8], 16), int(seed)])
    shared = np.random.default_rng(7).normal(0, 0.05, identities)  # what makes an identity hard for everybody
    d = effect(point) + rng.normal(0, seed_scatter) + shared - shared.mean() + rng.normal(0, noise, identities)
    names = [f"letter {number}" for number in range(identities)]
    value = float(d.mean())
    figure = Figure(
        value,
        value - 0.01,
        value + 0.01,
        1000,
        better="low",
        influence=dict(zip(names, (d - value).tolist(), strict=True)),
    )
    found = json.loads((template / "metrics.json").read_text())
    for key in found["val"]:
        found["val"][key]["value"] = value if found["val"][key]["better"] == "low" else 1 - value
    found["training"]["seconds"] = round(20 + parameters / 20_000 + float(rng.uniform(0, 3)), 1)
    (path / "metrics.json").write_text(json.dumps(found | (metrics or {}), indent=2))
    same = dict.fromkeys(found["val"], figure)
    write_influences(path / "influences_val.npz", same)
    if (template / "history.json").exists():
        shutil.copy(template / "history.json", path)
    thresholds = np.linspace(0, 2, 300)
    # between two normal densities whose equal error rate is `value`
    middle = -2 * float(ndtri(min(max(value, 1e-3), 0.49)))
    far, tar = ndtr((thresholds - 1) * 6 - middle / 2), ndtr((thresholds - 1) * 6 + middle / 2)
    write_curves(path / "curves_val.npz", {"verification": subsample_curve(thresholds, far, tar, 10_000, 900)})
    return name


def study(template, root, name, axes, seeds=SEEDS, **more):
    """A whole study with its study.json; returns its folder."""
    jobs = []
    for point in points(axes):
        for seed in seeds:
            jobs.append(
                {
                    "run_id": folder(template, root, name, point, seed, **more),
                    "point": {**point, "seed": seed},
                    "devices": 1,
                }
            )
    plan(root, name, {**axes, "seed": list(seeds)}, jobs)
    return Path(root) / name


def plan(root, name, axes, jobs, superseded=()):
    """Writes study.json."""
    path = Path(root) / name
    (path / "jobs").mkdir(parents=True, exist_ok=True)
    content = {"schema": 2, "name": name, "axes": axes, "jobs": jobs, "superseded": list(superseded), "facts": {}}
    write_json(path / "study.json", content)


def edited(path, **changes):
    """Sets entries of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
