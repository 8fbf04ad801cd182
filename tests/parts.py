"""Options of conf/ as objects, without a whole config."""

from omegaconf import OmegaConf

from siamese_lab.binding import build
from siamese_lab.catalogue import option_file


def made(group, name, given=None, **values):
    """made("loss", "triplet", margin=0.5): an option with other values; `given` is what a run gives to constructors."""
    content = OmegaConf.to_container(OmegaConf.load(option_file(group, name)))
    content.pop("defaults", None)
    return build(OmegaConf.create({group: content | values})[group], **{"dim": 5, "classes": 4, **(given or {})})


def own_distance(loss):
    """own_distance("supcon"): the name of the distance that a loss runs with where the user chooses none."""
    for entry in OmegaConf.load(option_file("loss", loss)).get("defaults", []):
        if "override /distance@_global_.distance" in entry:
            return entry["override /distance@_global_.distance"]
    defaults = OmegaConf.load(option_file("loss", loss).parent.parent / "train.yaml").defaults
    return next(entry.distance for entry in defaults if "distance" in entry)
