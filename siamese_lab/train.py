"""`siamese-lab train`: one run from a config to judged figures."""

import os
import sys
from contextlib import suppress

from omegaconf import DictConfig

from siamese_lab import config, cost, files, opening, ranks, report, runs
from siamese_lab.assembly import Lab, assemble, load, network
from siamese_lab.board_hparams import hyperparameters
from siamese_lab.callbacks.speed import Speed
from siamese_lab.callbacks.stopping import Stopping
from siamese_lab.callbacks.validation import Validation
from siamese_lab.catalogue import config_dir
from siamese_lab.checkpoint import Start, newest, restore
from siamese_lab.conclude import conclude
from siamese_lab.endings import Ending, ending
from siamese_lab.errors import LabError, Lost, Stopped
from siamese_lab.event_files import quiet_threads
from siamese_lab.fitting import fit, quiet
from siamese_lab.limits import duration
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
    return runs.EXIT_CODES[folder.state()]


def finished(cfg: DictConfig, force: bool = False) -> tuple[RunFolder, bool]:
    """The run of a config, trained unless it is finished already; and whether it has just been trained.

    Raises:
        LabError: if it was begun before and did not finish, and `force` is off.
    """
    samples = load(cfg)
    folder = runs.folder(cfg.study, config.resolved_hash(cfg, samples.fingerprint))
    if opening.sealed(folder) and not len(samples.ids("val")):
        raise LabError("the runs of a study are compared on validation, their test part is sealed, and these data have no validation part")
    if folder.exists() and not force:
        state = folder.state()
        if state == "ok":
            return folder, False
        if state != "running":
            raise LabError(
                f"the run {folder.path} was begun before and ended as {state}: `siamese-lab resume {folder.short}` goes on with it, "
                "--force starts it anew"
            )
    train(cfg, folder, assemble(cfg, samples=samples), force=force)
    return folder, True


def train(cfg: DictConfig, folder: RunFolder, lab: Lab, force: bool = False, resume: bool = False) -> dict[str, Figure]:
    """Trains a run and judges its best checkpoint: on validation, and on the test part unless the run belongs to a study.

    Args:
        cfg: from `config.compose`.
        folder: where everything is written.
        lab: from `assemble(cfg)`.
        force: remove what an earlier run with the same id has written.
        resume: go on from the newest checkpoint of a run that was stopped or killed.

    Returns:
        The figures of the part that the run shows, named "<protocol>/<figure>".

    Raises:
        LabError: if the run cannot be begun, or was ended before it finished; run.json then says how. A run that reached
            `trainer.max_time` is judged as it is; its state is then "timeout".
    """
    quiet()
    stopping = Stopping(duration(cfg.trainer.max_time))
    with folder.held(), stopping.listening(), quiet_threads():
        start = newest(folder.path / "checkpoints") if resume else Start()
        if start.path is not None:
            restore(lab.module, start.path)  # a checkpoint of another network is refused while nothing has been touched
        if resume:
            for words in start.broken:
                print(f"siamese-lab: {words}", file=sys.stderr)
            where = f"goes on after step {start.step}" if start.path else "begins anew: it has no checkpoint yet"
            print(f"siamese-lab: {where}", file=sys.stderr)
            folder.reopen(lab.decided.as_dict(), start.step)
        else:
            folder.create(lab.decided.as_dict(), force, config.printed(cfg))
        try:
            if not resume or "network" not in folder.info():  # it was killed before it was described
                _describe(cfg, folder, lab)
            figures, late = _run(cfg, folder, lab, stopping, start, trusted=not resume)
            end = ending(late, folder, late.step) if late is not None else Ending("ok", 0)
            folder.finish(end.state, reason=None if late is None else str(late))
        except BaseException as error:
            end = _ended(error, folder, stopping.step)
            if end.message is None:
                raise
            raise LabError(end.message, end.exit_code) from error
        if late is not None:
            print(f"siamese-lab: {end.message}", file=sys.stderr)
    return figures


def _describe(cfg: DictConfig, folder: RunFolder, lab: Lab) -> None:
    """Writes what is known of a run before it trains."""
    shape, classes = network(lab)
    headlines = [f"{name}/{protocol.headline}" for name, protocol in lab.protocols.items()]
    module = lab.module
    costs = {
        "parameters": cost.parameters(module.backbone, module.distance),
        "multiply_adds": cost.multiply_adds(module.backbone, shape),
    }
    known = {"shape": shape, "classes": classes}
    folder.update(network=known, cost=costs, hparams=hyperparameters(cfg), headlines=headlines)


def _ended(error: BaseException, folder: RunFolder, step: int) -> Ending:
    """Writes how a run was ended."""
    end = ending(error, folder, step)
    with suppress(OSError, LabError):  # a disk that takes no state either, a folder that somebody removed: what is said counts
        folder.finish(end.state, reason=f"{type(error).__name__}: {error}")
    return end


def _run(
    cfg: DictConfig, folder: RunFolder, lab: Lab, stopping: Stopping, start: Start, trusted: bool
) -> tuple[dict[str, Figure], Stopped | None]:
    """Trains, goes back to the best epoch, judges, writes; returns the figures, and what ended training where the limit of time did.

    Raises:
        Stopped: if anything else ended it.
    """
    size, t = cfg.evaluation.batch_size, cfg.trainer
    kept = folder.path / "history.json"
    validation, speed = Validation(lab.samples, lab.protocols, t.validate_every, size, t.patience, stopping, kept), Speed()
    late: Stopped | None = None

    def give_up(lost: Lost) -> None:
        end = _ended(lost, folder, stopping.step)
        print(f"siamese-lab: {end.message}", file=sys.stderr, flush=True)
        os._exit(end.exit_code)

    try:
        with ranks.group(cfg, folder, lab, start, trusted, give_up):
            fit(cfg, folder.path, lab, validation, speed, stopping, start)
    except Stopped as stop:
        if stop.reason != "max_time":
            raise
        late = stop
    with stopping.at_once():
        return conclude(cfg, folder, lab, validation, speed), late


if __name__ == "__main__":  # an ordinary Hydra app, for those who bring their own launchers and sweepers
    import sys

    import hydra

    sys.argv[1:1] = ["hydra.run.dir=.", "hydra.sweep.dir=.", "hydra.sweep.subdir=.", "hydra.output_subdir=null", "hydra/job_logging=none"]

    @hydra.main(config_path=str(config_dir()), config_name="train", version_base="1.3")
    def main(cfg: DictConfig) -> float | None:
        """Trains; returns the best headline figure on validation, which is what a sweeper may optimise."""
        folder, _ = finished(config.checked(cfg))
        return files.read_json(folder.path / "metrics.json")["best"]

    main()
