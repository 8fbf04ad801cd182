"""Writes docs/losses.md from conf/ and the docstrings: `make docs`."""

import inspect
import itertools
import re
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from siamese_lab.config.compatibility import refuse_misfits
from siamese_lab.config.groups import option_file, option_names
from siamese_lab.config.instantiate import TARGET, build, resolve_target
from siamese_lab.config.options import option_parameters, source, stated
from siamese_lab.core.errors import LabError

HEAD = """# Losses, distances, miners, samplings

Made by `make docs` from conf/ and the docstrings. `siamese-lab show loss triplet` prints the same, with types and
ranges.

A loss consumes pairs, triplets, labels or episodes. What it is given comes from the sampling, else from the miner,
else from the labels of the batch: `miner=all` with `sampling=pk` leaves all tuples that the labels imply. A triplet
serves as two pairs. What cannot work is refused with the options that fit.
"""
GROUPS = {"loss": "Losses", "distance": "Distances", "miner": "Miners", "memory": "Memory", "sampling": "Samplings"}
DISTANCE = "override /distance@_global_.distance"
LABELS = torch.arange(300).repeat_interleave(10)
USUAL = "euclidean"  # of conf/train.yaml
GIVEN = {"dim": 8, "classes": 300, "labels": LABELS, "groups": {"half": (LABELS % 2, ("even", "odd"))}, "seed": 0}


def main() -> None:
    """Writes the file."""
    (Path(__file__).parent / "losses.md").write_text(text(), encoding="utf-8")


def text() -> str:
    """The whole document."""
    parts = [HEAD, "## What goes together", "", *combinations(), ""]
    for group, title in GROUPS.items():
        parts += [
            f"## {title}",
            "",
            *itertools.chain.from_iterable(section(group, option) for option in option_names(group)),
        ]
    return "\n".join(parts).rstrip() + "\n"


def section(group: str, option: str) -> list[str]:
    """What is said of one option."""
    path = option_file(group, option)
    content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    target = resolve_target(content[TARGET])
    doc = inspect.getdoc(target) or ""
    facts = [f"{name} {value}" for name, value in stated(target).items()]
    if group == "loss" and own_distance(option) != USUAL:
        facts += [f"comes with `distance={own_distance(option)}`"]
    lines = [f"### `{group}={option}`", "", body(doc), ""]
    lines += [f"{'; '.join(facts).capitalize()}.", ""] if facts else []
    if said := source(doc):
        lines += [f"Source: {said}", ""]
    if parameters := option_parameters(path):
        lines += ["| parameter | default | meaning |", "|---|---|---|"]
        lines += [f"| `{group}.{p.name}` | {cell(p.default)} | {cell(p.note)} |" for p in parameters] + [""]
    return lines


def own_distance(loss: str) -> str:
    """The distance that a loss runs with where the user chooses none."""
    overrides = [
        line for line in OmegaConf.load(option_file("loss", loss)).get("defaults", []) if OmegaConf.is_dict(line)
    ]
    return next((line[DISTANCE] for line in overrides if DISTANCE in line), USUAL)


def body(doc: str) -> str:
    """The docstring up to its source, its arguments or its examples."""
    return re.split(r"^(?:Source|Args|Raises|Examples):", doc, maxsplit=1, flags=re.MULTILINE)[0].strip()


def cell(value: str) -> str:
    """Text that does not break a table."""
    return " ".join(value.split()).replace("|", "\\|")


def combinations() -> list[str]:
    """For each loss the miners, with a sampling that produces labels, and the samplings, with miner=all, that it
    takes.
    """
    parts = {
        (group, option): made(group, option)
        for group in ("loss", "miner", "sampling")
        for option in option_names(group)
    }
    lines = ["| loss | miners, with `sampling=pk` | samplings, with `miner=all` |", "|---|---|---|"]
    for loss in option_names("loss"):
        head = parts["loss", loss], made("distance", own_distance(loss))
        miners = [m for m in option_names("miner") if fits(*head, parts["miner", m], parts["sampling", "pk"])]
        samplings = [s for s in option_names("sampling") if fits(*head, parts["miner", "all"], parts["sampling", s])]
        lines.append(
            f"| `{loss}` | {listed(miners, option_names('miner'))} | {listed(samplings, option_names('sampling'))} |"
        )
    return lines


def fits(loss: Any, distance: Any, miner: Any, sampling: Any) -> bool:
    """Whether they go together."""
    try:
        refuse_misfits(loss, miner, sampling, distance)
    except LabError:
        return False
    return True


def listed(found: list[str], everything: list[str]) -> str:
    """The names, or that it is all of them."""
    if found == everything:
        return "every one"
    missing = [name for name in everything if name not in found]
    return (
        f"every one but {', '.join(missing)}"
        if 0 < len(missing) <= 3 < len(found)
        else ", ".join(f"`{name}`" for name in found)
    )


def made(group: str, option: str) -> Any:
    """The option with its defaults, as a run would build it."""
    content = OmegaConf.to_container(OmegaConf.load(option_file(group, option)))
    content.pop("defaults", None)
    return build(OmegaConf.create({group: content})[group], **GIVEN)


if __name__ == "__main__":
    main()
