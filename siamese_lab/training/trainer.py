"""Lightning's part of a run: the trainer, its callbacks, and the loop over the epochs."""

import logging
import warnings
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.plugins.environments import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch.utils import deterministic

from siamese_lab.data.module import SiameseData
from siamese_lab.distributed import collectives
from siamese_lab.distributed.sync_batchnorm import with_sync_batchnorm
from siamese_lab.model.checkpoint import Start
from siamese_lab.model.siamese import LOG_EVERY
from siamese_lab.training.assemble import Experiment
from siamese_lab.training.checkpoint_io import WholeFiles
from siamese_lab.training.checkpointing import CheckpointKeeper
from siamese_lab.training.interruption import Interruption
from siamese_lab.training.mining import Mining
from siamese_lab.training.progress import progress
from siamese_lab.training.throughput import Throughput
from siamese_lab.training.validation import Validation


def fit(
    cfg: DictConfig,
    path: Path,
    experiment: Experiment,
    validation: Validation,
    throughput: Throughput,
    interruption: Interruption,
    start: Start,
) -> None:
    """Trains `experiment.module`, which stays on its device; `validation` and `throughput` collect their figures.

    Args:
        cfg, path, experiment: of the run; the path is that of its folder.
        validation, throughput, interruption: callbacks that the caller goes on to use.
        start: where to go on.

    Raises:
        Stopped: if `interruption` ended it.
    """
    data = SiameseData(experiment.samples, experiment.ids, experiment.labels, experiment.sampling, cfg.trainer.workers)
    validated = len(experiment.samples.ids("val")) > 0
    best, every = validation if validated else None, cfg.trainer.checkpoint_every
    callbacks = [
        interruption,
        Mining(data.loader, cfg.evaluation.batch_size, interruption),
        *experiment.callbacks.values(),
        *([validation] if validated else []),
        throughput,
        *progress(cfg.trainer.progress and collectives.rank() == 0, validation.monitor),
        CheckpointKeeper(path / "checkpoints", best, interruption, every),
    ]
    twin = experiment.module.twin
    if cfg.trainer.sync_batchnorm and collectives.world() > 1:
        twin.backbone = with_sync_batchnorm(twin.backbone, experiment.decided.accelerator == "gpu")
    trainer = build_trainer(cfg, path, experiment, callbacks, start.step)
    try:
        trainer.fit(experiment.module, data, ckpt_path=start.path, weights_only=True)
    except SystemExit as stop:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from stop
    finally:
        experiment.module.to(trainer.strategy.root_device)  # Lightning leaves it on the CPU


def build_trainer(
    cfg: DictConfig, path: Path, experiment: Experiment, callbacks: list[pl.Callback], step: int = 0
) -> pl.Trainer:
    """Builds Lightning's trainer from `cfg.trainer`.

    TensorBoard drops what a killed process logged after `step`.
    """
    t = cfg.trainer
    # no operation here reads uninitialised memory, and filling it takes 8 % of a step
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    several = collectives.world() > 1
    # not what an allocation's variables said when Lightning was imported
    rank_zero_only.rank = collectives.rank()  # type: ignore[attr-defined]  # it hangs on the function
    logger = TensorBoardLogger(path, name="", version="", default_hp_metric=False, purge_step=step or None)
    return pl.Trainer(
        accelerator=experiment.decided.accelerator,
        devices=collectives.world(),
        strategy=ManualGradientStrategy() if several else "auto",
        precision=experiment.decided.precision,  # type: ignore[arg-type]
        max_epochs=t.max_epochs,
        gradient_clip_val=t.gradient_clip_val,
        deterministic=t.deterministic,
        logger=logger if collectives.rank() == 0 else False,
        callbacks=callbacks,
        default_root_dir=path,
        plugins=[WholeFiles(), ExternalProcesses()],  # else Lightning asks SLURM's variables, in any allocation
        log_every_n_steps=min(LOG_EVERY, len(experiment.sampling)),  # at least once an epoch
        num_sanity_val_steps=0,
        limit_val_batches=0,
        # the sampling is a function of seed, epoch and step, and never Lightning's to replace
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
    )


def quiet() -> None:
    """Silences Lightning's tips, and its warnings about choices that are deliberate here."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    for message in (
        "does not have many workers",
        "Checkpoint directory",
        "could not find the monitored key",  # in an epoch without validation
        "You have overridden `on_after_batch_transfer`",
        "LeafSpec",
        "sync_dist=True",  # all processes log the same figure
        "ended before the epoch ended",  # the loader goes on at the next batch
        "The `srun` command is available",  # a machine of a SLURM cluster: our jobs start their own processes
        "is smaller than the logging interval",  # the last step of an epoch is logged in any case
    ):
        warnings.filterwarnings("ignore", message=f".*{message}.*")


class ManualGradientStrategy(DDPStrategy):
    """Trains in several processes; the module averages the gradients itself, see `collectives.average_gradients`."""

    def configure_ddp(self) -> None:
        """Leaves the module unwrapped. Every process starts from the same weights, of the seed or the checkpoint."""


class ExternalProcesses(ClusterEnvironment):
    """Tells Lightning of a process group that stands already, see `collectives.process_group`."""

    creates_processes_externally = True
    main_address, main_port = "127.0.0.1", 0  # required by the interface, never used

    @staticmethod
    def detect() -> bool:
        """Never chosen by Lightning itself."""
        return False

    def world_size(self) -> int:
        """The number of processes."""
        return collectives.world()

    def set_world_size(self, size: int) -> None:
        """Does nothing: the process group decides the number of processes."""

    def global_rank(self) -> int:
        """The rank of this process, from 0."""
        return collectives.rank()

    def set_global_rank(self, rank: int) -> None:
        """Does nothing: the process group decides the rank."""

    def local_rank(self) -> int:
        """Equals the global rank, since all processes run on one machine."""
        return collectives.rank()

    def node_rank(self) -> int:
        """0, the only machine."""
        return 0
