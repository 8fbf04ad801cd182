"""Options of conf/ as objects, without a whole config."""

import functools

import torch
from omegaconf import OmegaConf

from siamese_lab.config.groups import option_file
from siamese_lab.config.instantiate import build


@functools.cache
def option_content(group, name):
    """The section of an option's yaml, which nobody changes."""
    content = OmegaConf.to_container(OmegaConf.load(option_file(group, name)))
    content.pop("defaults", None)
    return content


def made(group, name, given=None, **values):
    """made("loss", "triplet", margin=0.5): an option with other values; `given` is what a run gives to constructors."""
    content = option_content(group, name)
    if group == "sampling" and isinstance(given and given.get("labels"), torch.Tensor):
        given = {"groups": {"half": (given["labels"] % 2, ("even", "odd"))}} | given  # classes lie in two groups
    return build(OmegaConf.create({group: content | values})[group], **{"dim": 5, "classes": 4, **(given or {})})


@functools.cache
def own_distance(loss):
    """own_distance("supcon"): the name of the distance that a loss runs with where the user chooses none."""
    for entry in OmegaConf.load(option_file("loss", loss)).get("defaults", []):
        if "override /distance@_global_.distance" in entry:
            return entry["override /distance@_global_.distance"]
    defaults = OmegaConf.load(option_file("loss", loss).parent.parent / "train.yaml").defaults
    return next(entry.distance for entry in defaults if "distance" in entry)


EPISODES = {24: (4, 5), 48: (6, 7), 60: (6, 9), 96: (12, 7), 120: (8, 14)}  # images: ways, queries


def batch_of(sampling, images):
    """batch_of("pk", 24): the values with which a sampling's batches hold so many images; some speak of other things
    than images.
    """
    if sampling != "episodes":
        return {"batch_size": images}
    way, queries = EPISODES[images]
    return {"way": way, "shot": 1, "queries": queries}
