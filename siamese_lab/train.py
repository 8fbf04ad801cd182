"""`siamese-lab train`: one run from a config to judged figures."""

import logging
import time
import warnings
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch.utils import deterministic

from siamese_lab import board, config, judging, report, runs
from siamese_lab.assembly import Lab, assemble, load, model
from siamese_lab.board_hparams import hyperparameters, write_columns
from siamese_lab.callbacks.mining import Mining
from siamese_lab.callbacks.progress import progress
from siamese_lab.callbacks.speed import Speed
from siamese_lab.callbacks.validation import Validation
from siamese_lab.catalogue import config_dir
from siamese_lab.checkpoint import WholeFiles, keepers, restore
from siamese_lab.data.module import SiameseData
from siamese_lab.errors import LabError
from siamese_lab.limits import duration
from siamese_lab.model import LOG_EVERY
from siamese_lab.runs import RunFolder
from siamese_lab.stats import Figure


def command(cfg: DictConfig, force: bool = False) -> int:
    """Trains and prints the figures; for a run that is finished already, only prints them.

    Args:
        cfg: from `config.compose`.
        force: train anew what is finished; what it wrote is removed first.
    """
    folder, new = finished(cfg, force)
    report.finished(folder, new)
    return 0


def finished(cfg: DictConfig, force: bool = False) -> tuple[RunFolder, bool]:
    """The run of a config, trained unless it is finished already; and whether it has just been trained.

    Raises:
        LabError: if it was begun before and did not finish, and `force` is off.
    """
    samples = load(cfg)
    folder = runs.folder(cfg.study, config.resolved_hash(cfg, samples.fingerprint))
    if folder.exists() and not force:
        state = folder.state()
        if state == "ok":
            return folder, False
        if state != "running":
            raise LabError(f"the run {folder.path} was begun before and ended as {state}: start it anew with --force")
    train(cfg, folder, assemble(cfg, samples=samples), force=force)
    return folder, True


def train(cfg: DictConfig, folder: RunFolder, lab: Lab, force: bool = False) -> dict[str, Figure]:
    """Trains a run and judges its best checkpoint on the test part.

    Args:
        cfg: from `config.compose`.
        folder: where everything is written.
        lab: from `assemble(cfg)`.
        force: remove what an earlier run with the same id has written.

    Returns:
        The figures of the test part, named "<protocol>/<figure>".

    Raises:
        LabError: if the run cannot be begun.
    """
    quiet()
    folder.create(lab.decided.as_dict(), force=force)
    try:
        runs.write_text(folder.path / "config.yaml", config.printed(cfg))
        shape, classes = network(lab)
        headlines = [f"{name}/{protocol.headline}" for name, protocol in lab.protocols.items()]
        facts = {"network": {"shape": shape, "classes": classes}, "hparams": hyperparameters(cfg), "headlines": headlines}
        folder.update(**facts)
        figures = _run(cfg, folder, lab)
    except BaseException as error:
        with suppress(OSError):  # a full disk takes no state either; what is said below counts
            folder.finish("preempted" if isinstance(error, KeyboardInterrupt) else runs.state_of(getattr(error, "exit_code", 1)))
            folder.update(reason=f"{type(error).__name__}: {error}")
        if isinstance(error, OSError):
            raise LabError(f"the run {folder.path} failed: {error.strerror or error}, {error.filename or folder.path}", 1) from error
        raise
    folder.finish("ok")
    return figures


def _run(cfg: DictConfig, folder: RunFolder, lab: Lab) -> dict[str, Figure]:
    """Trains, goes back to the best epoch, judges, writes."""
    size, ids = cfg.evaluation.batch_size, lab.samples.ids("test")
    validation, speed = Validation(lab.samples, lab.protocols, cfg.trainer.validate_every, size), Speed()
    began = time.time()
    fit(cfg, folder.path, lab, validation, speed)
    seconds = time.time() - began

    best_file = folder.path / "checkpoints" / ("best.ckpt" if validation.history else "last.ckpt")
    epoch = restore(lab.module, best_file)
    best = next((entry for entry in validation.history if entry["epoch"] == epoch - 1), {})
    chosen = judging.choose(lab.module, lab.samples, lab.protocols, size)
    seen = judging.judged(lab.module, lab.samples, ids, size) if len(ids) else None
    figures = judging.judge(lab.module, lab.samples, "test", lab.protocols, chosen, size, seen=seen)
    names = [lab.samples.classes[label] for label in lab.samples.labels[lab.ids].unique().tolist()]
    runs.write_json(folder.path / "classes.json", {"schema": runs.SCHEMA_VERSION, "train": names})
    runs.write_json(folder.path / "influences.json", {"schema": runs.SCHEMA_VERSION, **{name: f.influence for name, f in figures.items()}})
    metrics = {
        "schema": runs.SCHEMA_VERSION,
        "test": _plain(figures),
        "untrained": _plain(_untrained(cfg, lab)),
        "best": best.get(validation.monitor),
        "chosen": chosen,
        "epoch": epoch,
        "training": {
            "seconds": round(seconds, 1),
            "steps": speed.steps,
            "images_per_second": speed.rate,
            "first_step": speed.first_step,
        },
        "history": validation.history,
        "data": {"disjoint": lab.samples.disjoint, "fingerprint": lab.samples.fingerprint},
    }
    runs.write_json(folder.path / "metrics.json", metrics)
    step = int(best.get("step", speed.steps))
    board.write(folder.path, cfg, figures, best, lab.protocols, chosen, step=step, began=began, seen=seen, samples=lab.samples, ids=ids)
    write_columns(folder.path.parent)
    return figures


def fit(cfg: DictConfig, path: Path, lab: Lab, validation: Validation, speed: Speed) -> None:
    """Trains `lab.module`, which stays on its device; `validation` and `speed` hold what was seen on the way."""
    t = cfg.trainer
    data = SiameseData(lab.samples, lab.ids, lab.labels, lab.sampling)
    judged = len(lab.samples.ids("val")) > 0
    callbacks = [Mining(data.loader, cfg.evaluation.batch_size), *([validation] if judged else []), speed]
    callbacks += progress(t.progress, validation.monitor)
    if t.patience is not None:
        epochs = t.patience * t.validate_every  # Lightning counts epochs, and an old figure as one without progress
        stopping = EarlyStopping(validation.monitor, mode=validation.mode, patience=epochs, check_on_train_epoch_end=True, strict=False)
        callbacks.append(stopping)
    callbacks += keepers(path / "checkpoints", validation.monitor if judged else None, validation.mode)
    fitting = trainer(cfg, path, lab, callbacks)
    try:
        fitting.fit(lab.module, data)
    except SIGTERMException as stop:
        raise LabError(f"the run {path} was stopped by SIGTERM: train it anew with --force", runs.EXIT_CODES["preempted"]) from stop
    except SystemExit as stop:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from stop
    lab.module.to(fitting.strategy.root_device)  # Lightning leaves it on the CPU


def trainer(cfg: DictConfig, path: Path, lab: Lab, callbacks: list[pl.Callback]) -> pl.Trainer:
    """Lightning's trainer from the plain keys of `cfg.trainer`."""
    t = cfg.trainer
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # no operation here reads it, and filling takes 8 % of a step
    return pl.Trainer(
        accelerator=lab.decided.accelerator,
        devices=t.devices,
        precision=lab.decided.precision,  # type: ignore[arg-type]
        max_epochs=t.max_epochs,
        max_time=duration(t.max_time),
        gradient_clip_val=t.gradient_clip_val,
        deterministic=t.deterministic,
        logger=TensorBoardLogger(path, name="", version="", default_hp_metric=False),
        callbacks=callbacks,
        plugins=[WholeFiles()],
        log_every_n_steps=LOG_EVERY,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        use_distributed_sampler=False,  # the sampling is a function of seed, epoch and step, and never Lightning's to replace
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
    )


def quiet() -> None:
    """Keeps Lightning's tips, and its warnings about what is meant to be so here, off the screen."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    for message in (
        "does not have many workers",
        "Checkpoint directory",
        "could not find the monitored key",  # in an epoch without validation
        "You have overridden `on_after_batch_transfer`",
        "LeafSpec",
        "is smaller than the logging interval",  # the last step of an epoch is logged in any case
    ):
        warnings.filterwarnings("ignore", message=f".*{message}.*")


def network(lab: Lab) -> tuple[tuple[int, ...], int]:
    """What the data decide of the network: the shape of an image and the number of training classes."""
    return tuple(lab.samples.images.shape[1:]), int(lab.labels.max()) + 1


def _untrained(cfg: DictConfig, lab: Lab) -> dict[str, Figure]:
    """The test figures of the same network with its starting weights: what any number has to be held against."""
    start = model(cfg, *network(lab)).to(lab.module.device)
    size = cfg.evaluation.batch_size
    chosen = judging.choose(start, lab.samples, lab.protocols, size)
    return judging.judge(start, lab.samples, "test", lab.protocols, chosen, size, influences=False)


def _plain(figures: dict[str, Figure]) -> dict[str, dict[str, Any]]:
    return {name: {key: value for key, value in asdict(figure).items() if key != "influence"} for name, figure in figures.items()}


if __name__ == "__main__":  # an ordinary Hydra app, for those who bring their own launchers and sweepers
    import sys

    import hydra

    sys.argv[1:1] = ["hydra.run.dir=.", "hydra.sweep.dir=.", "hydra.sweep.subdir=.", "hydra.output_subdir=null", "hydra/job_logging=none"]

    @hydra.main(config_path=str(config_dir()), config_name="train", version_base="1.3")
    def main(cfg: DictConfig) -> float | None:
        """Trains; returns the best headline figure on validation, which is what a sweeper may optimise."""
        folder, _ = finished(config.checked(cfg))
        return runs.read_json(folder.path / "metrics.json")["best"]

    main()
