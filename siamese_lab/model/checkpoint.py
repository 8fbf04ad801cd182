"""Checkpoints: written whole or not at all, read without running code."""

import os
import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning.plugins.io import TorchCheckpointIO

from siamese_lab.core.errors import LabError
from siamese_lab.core.files import put
from siamese_lab.core.text import printable
from siamese_lab.model.build import build_model
from siamese_lab.model.siamese import SiameseModule
from siamese_lab.runs.folder import RunFolder

RESUMED = {
    "state_dict": dict,
    "epoch": int,
    "global_step": int,
    "optimizer_states": list,
    "lr_schedulers": list,
    "loops": dict,
}
"""What a run cannot go on without, and its kind; so are `callbacks`, a mapping of mappings."""

COPY = "take the file from a good copy of the run"
LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"


class WholeFiles(TorchCheckpointIO):
    """Writes beside the target, syncs and renames; Lightning goes through the temporary folder, where a kill leaves a
    part.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes `checkpoint` to `path`; a reader finds the old file or the new one. The last but one is kept as
        `previous.ckpt`.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                try:
                    torch.save(checkpoint, file)
                except (
                    RuntimeError
                ) as error:  # of a full disk torch says what its writer then thinks, not that it is full
                    if isinstance(error.__context__, OSError):
                        raise error.__context__ from None
                    raise
                file.flush()
                os.fsync(file.fileno())
            if target.name == LAST and target.exists():
                put(target, target.with_name(PREVIOUS))  # from here to the next line only this one is there
            put(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@dataclass(frozen=True)
class Start:
    """Where a run is resumed.

    Args:
        path: of the checkpoint; None = from the beginning.
        step: optimizer steps done.
        broken: checkpoints that were passed over, and why.
    """

    path: Path | None = None
    step: int = 0
    broken: tuple[str, ...] = ()


def newest_checkpoint(folder: Path) -> Start:
    """The newest checkpoint in a run's folder of checkpoints that is whole; leftovers of a killed process are removed.

    Raises:
        LabError: if there are some and none is whole: nothing is begun anew over what may still be saved.
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
        raise LabError(
            "\n".join(
                [
                    "no checkpoint of this run is whole, so that it cannot be resumed: train it anew with --force",
                    *broken,
                ]
            )
        )
    return Start()


def _refuse_partial(checkpoint: dict[str, Any], path: Path) -> None:
    wrong = [key for key, kind in RESUMED.items() if not isinstance(checkpoint.get(key), kind)]
    callbacks = checkpoint.get("callbacks")
    if not isinstance(callbacks, dict) or not all(isinstance(state, dict) for state in callbacks.values()):
        wrong.append("callbacks")
    if wrong:
        raise LabError(f"{path} is no checkpoint that a run can go on from: {', '.join(wrong)} is lacking or odd")


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """What a checkpoint holds. Every byte is checked against the file's own checksums first, which torch does not do.

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
            checkpoint: Any = torch.load(path, map_location=device, weights_only=True)
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


def restore(module: SiameseModule, path: Path) -> int:
    """Puts the weights of a checkpoint into `module`; returns the epoch (from 1) that it was written in.

    Raises:
        LabError: if there is none, it is broken, or it belongs to another network.
    """
    checkpoint = read_checkpoint(path, module.device)
    try:
        module.load_state_dict(checkpoint["state_dict"])
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
                f"{path} holds weights that are NaN or infinite, in {name}: no run writes such; take the file from a "
                "good copy"
            )
    return epoch


def load_trained(folder: RunFolder, cfg: DictConfig) -> SiameseModule:
    """The network of a run with the weights that were evaluated: the best on validation, else the last.

    Args:
        folder: of the run.
        cfg: its config; it may come from elsewhere, and builds only what such a config may.

    Raises:
        LabError: if there is no checkpoint, or the config does not fit it.
    """
    network = folder.info().get("network")
    if network is None:
        raise LabError(f"{folder.path} does not say what its network was built for: its training never began")
    module = build_model(cfg, tuple(network["shape"]), network["classes"], trusted=False)
    best = folder.path / "checkpoints" / BEST
    restore(module, best if os.path.lexists(best) else best.with_name(LAST))
    return module.eval()
