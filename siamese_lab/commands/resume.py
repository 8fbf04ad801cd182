"""`siamese-lab resume`: goes on with a run that was stopped or killed, as if it had not been."""

import logging
import re
from collections.abc import Sequence

from omegaconf import DictConfig
from torch.nn.modules.batchnorm import _BatchNorm

from siamese_lab.commands._run_report import print_run
from siamese_lab.config.compose import read_config
from siamese_lab.config.identity import resolved_hash
from siamese_lab.config.ranges import duration
from siamese_lab.config.trust import allowed_packages
from siamese_lab.core.errors import LabError
from siamese_lab.data.load import load_data
from siamese_lab.runs.find import find_run
from siamese_lab.runs.folder import EXIT_CODES, RunFolder
from siamese_lab.runs.provenance import code_hash, versions
from siamese_lab.training.assemble import Experiment, assemble
from siamese_lab.training.run import train

log = logging.getLogger(__name__)


def command(run: str, max_time: str | None = None, devices: int | None = None, trust: Sequence[str] = ()) -> int:
    """Trains to the end and prints the figures; of a run that is finished, only prints them.

    Args:
        run: folder or beginning of a run id.
        max_time: of this sitting, instead of the run's own: "HH:MM:SS" or minutes.
        devices: of this sitting, instead of the run's own.
        trust: packages whose code the run's config may build from, beside those of SIAMESE_LAB_TRUST.

    Raises:
        LabError: if there is no such run, it is running, would end as before, or its data are no longer the same.
    """
    allowed = allowed_packages(trust)
    folder = find_run(run)
    state = folder.state()
    if state == "ok":
        print_run(folder)
        return 0
    if state == "running":
        raise LabError(folder.busy_message())
    if state == "diverged":
        again = f"the run {folder.path} diverged and would again"
        raise LabError(f"{again}: train with other values, e.g. a smaller optimizer.lr")
    cfg = read_config(folder.path / "config.yaml", trust=allowed)
    if max_time is not None:
        cfg.trainer.max_time = float(max_time) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]*)?", max_time) else max_time
    try:
        duration(cfg.trainer.max_time, "--max-time" if max_time is not None else "trainer.max_time")
    except ValueError as error:
        raise LabError(str(error)) from error
    samples = load_data(cfg, trust=allowed)
    if resolved_hash(cfg, samples.fingerprint) != folder.run_id:
        raise LabError(
            f"the run {folder.path} cannot be resumed: its data or its config are no longer those that it began with; "
            "put them back, or train the new ones as a run of their own"
        )
    if devices is not None:
        if devices < 1:
            raise LabError(f"--devices must be >= 1, got {devices}: it counts GPUs, or processes on the CPU")
        cfg.trainer.devices = devices
    experiment = assemble(cfg, samples=samples, trust=allowed)
    for words in changes(folder, experiment.decided.as_dict()) + batch_norm_changes(folder, cfg, experiment):
        log.warning("%s: the figures may differ from those of an uninterrupted run", words)
    train(cfg, folder, experiment, resume=True)
    print_run(folder, new=True)
    return EXIT_CODES[folder.state()]


def batch_norm_changes(folder: RunFolder, cfg: DictConfig, experiment: Experiment) -> list[str]:
    """What another number of processes changes in batch normalisation, where each has its own share of a batch."""
    then, now = folder.info().get("decided", {}).get("processes", 1), experiment.decided.processes
    alone = not any(isinstance(part, _BatchNorm) for part in experiment.module.twin.backbone.modules())
    if then == now or alone or cfg.trainer.sync_batchnorm:
        return []
    batch = len(next(iter(experiment.sampling.batches(0))).ids)
    return [f"batch normalisation was over {batch // then} images and is over {batch // now}"]


def changes(folder: RunFolder, decided: dict[str, str | int]) -> list[str]:
    """What has changed since the run began, of all that may show in the last digits."""
    info = folder.info()
    then = {"code": info.get("code"), **info.get("versions", {}), **info.get("decided", {})}
    now = {"code": code_hash(), **versions(), **decided}
    changed = {key: value for key, value in now.items() if then.get(key, value) != value}
    return [f"{key} was {then[key]} when the run began and is {value}" for key, value in changed.items()]
