"""`siamese-lab train`: one run from a config to evaluated figures."""

import logging
import os
from contextlib import suppress

from omegaconf import DictConfig, OmegaConf

from siamese_lab.config.compose import config_text
from siamese_lab.config.ranges import duration
from siamese_lab.config.trust import needed_packages
from siamese_lab.core.errors import LabError, Lost, Stopped
from siamese_lab.model.checkpoint import Start, newest_checkpoint, restore
from siamese_lab.model.cost import count_parameters, multiply_adds
from siamese_lab.runs.folder import RunFolder
from siamese_lab.runs.history import history_file
from siamese_lab.statistics.influence import Figure
from siamese_lab.tensorboard.event_files import quiet_threads
from siamese_lab.tensorboard.hparams import hyperparameters
from siamese_lab.training import ranks
from siamese_lab.training.assemble import Experiment, network
from siamese_lab.training.exit_state import ExitState, exit_state
from siamese_lab.training.finish import finish_run
from siamese_lab.training.interruption import Interruption
from siamese_lab.training.throughput import Throughput
from siamese_lab.training.trainer import fit, quiet
from siamese_lab.training.validation import Validation

log = logging.getLogger(__name__)


def train(
    cfg: DictConfig, folder: RunFolder, experiment: Experiment, force: bool = False, resume: bool = False
) -> dict[str, Figure]:
    """Trains a run and evaluates its best checkpoint: on validation, and on the test part unless it is of a study.

    Args:
        cfg: from `config.compose`.
        folder: where everything is written.
        experiment: from `assemble(cfg)`.
        force: remove what an earlier run with the same id has written.
        resume: go on from the newest checkpoint of a run that was stopped or killed.

    Returns:
        The figures of the part that the run shows, named "<protocol>/<figure>".

    Raises:
        LabError: if the run cannot be begun, or was ended before it finished; run.json then says how. A run that
            reached `trainer.max_time` is evaluated as it is; its state is then "timeout".
    """
    quiet()
    interruption = Interruption(duration(cfg.trainer.max_time))
    with folder.lock(), interruption.listening(), quiet_threads():
        start = newest_checkpoint(folder.path / "checkpoints") if resume else Start()
        if start.path is not None:
            # a checkpoint of another network is refused while nothing has been touched
            restore(experiment.module, start.path, experiment.module.device)
        if resume:
            for words in start.broken:
                log.warning(words)
            where = f"goes on after step {start.step}" if start.path else "begins anew: it has no checkpoint yet"
            log.info(where)
            folder.reopen(experiment.decided.as_dict(), start.step)
        else:
            folder.create(experiment.decided.as_dict(), force, config_text(cfg))
        try:
            if not resume or "network" not in folder.info():  # it was killed before it was described
                _describe(cfg, folder, experiment)
            figures, late = _run(cfg, folder, experiment, interruption, start)
            end = exit_state(late, folder, late.step) if late is not None else ExitState("ok", 0)
            folder.finish(end.state, reason=None if late is None else str(late))
        except BaseException as error:
            end = _record_end(error, folder, interruption.step)
            if end.message is None:
                raise
            raise LabError(end.message, end.exit_code) from error
        if late is not None:
            log.warning(end.message)
    return figures


def _describe(cfg: DictConfig, folder: RunFolder, experiment: Experiment) -> None:
    """Writes what is known of a run before it trains."""
    shape, classes = network(experiment)
    headlines = [f"{name}/{protocol.headline}" for name, protocol in experiment.protocols.items()]
    twin = experiment.module.twin
    folder.update(
        network={"shape": shape, "classes": classes},
        cost={"parameters": count_parameters(twin), "multiply_adds": multiply_adds(twin.backbone, shape)},
        hparams=hyperparameters(cfg),
        headlines=headlines,
        packages=needed_packages(OmegaConf.to_container(cfg)),
    )


def _record_end(error: BaseException, folder: RunFolder, step: int) -> ExitState:
    """Writes how a run was ended."""
    end = exit_state(error, folder, step)
    # a disk that takes no state either, a folder that somebody removed: what is said counts
    with suppress(OSError, LabError):
        folder.finish(end.state, reason=f"{type(error).__name__}: {error}")
    return end


def _run(
    cfg: DictConfig, folder: RunFolder, experiment: Experiment, interruption: Interruption, start: Start
) -> tuple[dict[str, Figure], Stopped | None]:
    """Trains, evaluates the best epoch, writes; returns the figures, and the Stopped of a time limit that was met."""
    size, t, kept = cfg.evaluation.batch_size, cfg.trainer, history_file(folder.path)
    samples, protocols = experiment.samples, experiment.protocols
    validation = Validation(samples, protocols, t.validate_every, size, t.patience, interruption, kept)
    throughput = Throughput()
    late: Stopped | None = None

    def give_up(lost: Lost) -> None:
        end = _record_end(lost, folder, interruption.step)
        log.error(end.message)
        os._exit(end.exit_code)

    try:
        with ranks.group(cfg, folder, experiment, start, give_up):
            fit(cfg, folder.path, experiment, validation, throughput, interruption, start)
    except Stopped as stop:
        if stop.reason != "max_time":
            raise
        late = stop
    with interruption.at_once():
        return finish_run(cfg, folder, experiment, validation, throughput), late
