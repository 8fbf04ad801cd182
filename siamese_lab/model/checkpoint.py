"""Checkpoints are read without running code, and every byte of them is checked first."""

import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from siamese_lab.core.errors import LabError
from siamese_lab.core.mappings import StateDict
from siamese_lab.core.text import printable
from siamese_lab.model.twin import Twin

RESUMED = {
    "state_dict": dict,
    "epoch": int,
    "global_step": int,
    "optimizer_states": list,
    "lr_schedulers": list,
    "loops": dict,
}
"""The entries that a run is resumed from, with their types; `callbacks`, a mapping of mappings, is another."""

COPY = "take the file from a good copy of the run"
LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
TRAINED, AVERAGED = "twin.", "average.module."  # how the names of a twin's weights begin in a checkpoint
PARTS = (TRAINED, "loss.", "memory.", "average.")  # and those of all weights of a run


@dataclass(frozen=True)
class Start:
    """The point at which a run is resumed.

    Args:
        path: of the checkpoint; None = from the beginning.
        step: optimizer steps done.
        broken: one message for each checkpoint that was passed over.
    """

    path: Path | None = None
    step: int = 0
    broken: tuple[str, ...] = ()


def newest_checkpoint(folder: Path) -> Start:
    """Finds the newest whole checkpoint of a run, and removes what a killed process left half-written.

    Raises:
        LabError: if there are checkpoints and none is whole: what may still be saved is not written over.
    """
    broken: list[str] = []
    for leftover in folder.glob(".*.ckpt.*"):
        leftover.unlink()
    for path in (folder / LAST, folder / PREVIOUS):
        try:
            if os.path.lexists(path):
                checkpoint = read_checkpoint(path)
                _refuse_partial(checkpoint, path)
                return Start(path, checkpoint["global_step"], tuple(broken))
        except LabError as error:
            broken.append(str(error))
    if broken:
        head = "no checkpoint of this run is whole, so that it cannot be resumed: train it anew with --force"
        raise LabError("\n".join([head, *broken]))
    return Start()


def _refuse_partial(checkpoint: Mapping[str, object], path: Path) -> None:
    wrong = [key for key, kind in RESUMED.items() if not isinstance(checkpoint.get(key), kind)]
    callbacks = checkpoint.get("callbacks")
    if not isinstance(callbacks, dict) or not all(isinstance(state, dict) for state in callbacks.values()):
        wrong.append("callbacks")
    if wrong:
        raise LabError(f"{path} is no checkpoint that a run can go on from: {', '.join(wrong)} is lacking or odd")


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> StateDict:
    """Reads a checkpoint; every byte is first checked against the file's own checksums, which torch does not do.

    Raises:
        LabError: if there is none, or it is not whole.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            altered = archive.testzip()
        if altered is not None:
            raise LabError(f"{path} is damaged: its part {altered} does not match its checksum")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about files that it then refuses
            checkpoint: object = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(checkpoint, dict):
            raise LabError(
                f"{path} is no checkpoint: it holds a {type(checkpoint).__name__}, not what siamese-lab writes"
            )
        foreign = [key for key in map(str, checkpoint) if "hyper_parameters" in key or key.startswith("hparams")]
        if foreign:  # some loaders call what is named there; we neither write nor read it
            raise LabError(f"{path} is refused: it holds {', '.join(foreign)}, which siamese-lab never writes; {COPY}")
        return checkpoint
    except FileNotFoundError as error:
        raise LabError(
            f"{path} is missing: the run has not finished its first epoch, or its checkpoints were removed"
        ) from error
    except LabError:
        raise
    except Exception as error:  # whatever the broken file makes of zipfile and torch.load
        words = " ".join(str(error).split())
        if "weights_only" in words or "Weights only" in words:  # torch goes on to say how to read it nevertheless
            named = re.search(r"GLOBAL (\S+)", words)
            what = f" ({printable(named[1])})" if named else ""
            raise LabError(
                f"{path} is refused: it holds more than tensors and plain values{what}, which could run code; {COPY}"
            ) from error
        raise LabError(f"{path} cannot be read as a checkpoint: {' '.join(str(error).split())[:300]}") from error


def restore(module: nn.Module, path: Path, device: torch.device | str = "cpu") -> int:
    """Puts the weights of a checkpoint into a module that is trained.

    Returns the epoch (from 1) that the checkpoint was written in.

    Args:
        module: the whole `SiameseModule`.
        path: of the checkpoint.
        device: where the module lies.

    Raises:
        LabError: if there is none, it is broken, or it belongs to another network.
    """
    return _load(module, read_checkpoint(path, device), "", path)


def restore_twin(twin: Twin, path: Path) -> int:
    """Puts the weights of a checkpoint that are evaluated into a twin: their average where there is one.

    Returns the epoch (from 1) that the checkpoint was written in.

    Raises:
        LabError: if there is none, it is broken, or it belongs to another network.
    """
    checkpoint = read_checkpoint(path, twin.device)
    weights = checkpoint.get("state_dict")
    averaged = isinstance(weights, dict) and any(str(name).startswith(AVERAGED) for name in weights)
    return _load(twin, checkpoint, AVERAGED if averaged else TRAINED, path)


def _load(module: nn.Module, checkpoint: StateDict, prefix: str, path: Path) -> int:
    try:
        weights = checkpoint["state_dict"]
        if not isinstance(weights, dict):
            raise LabError(f"{path} is no checkpoint of a run: its state_dict is a {type(weights).__name__}")
        if foreign := [name for name in weights if not str(name).startswith(PARTS)]:
            raise RuntimeError(f"it has weights of another kind, {printable(foreign[0])}")
        chosen = {name.removeprefix(prefix): one for name, one in weights.items() if name.startswith(prefix)}
        module.load_state_dict(chosen)
        epoch = int(checkpoint["epoch"]) + 1
    except KeyError as error:
        raise LabError(f"{path} is no checkpoint of a run: it lacks {error.args[0]}") from error
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise LabError(
            f"{path} is no checkpoint of this run's network: {' '.join(str(error).split())[:300]}"
        ) from error
    for name, weight in module.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise LabError(
                f"{path} holds weights that are NaN or infinite, in {name.removeprefix(TRAINED)}: no run writes such; "
                "take the file from a good copy"
            )
    return epoch
