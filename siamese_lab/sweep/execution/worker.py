"""The process of one job: trains its run, or goes on with it, and ends with the exit code of its state.

`python -m siamese_lab.sweep.execution.worker STUDY_FOLDER RUN_ID [--threads N] [--follow-stdin]` does the same in a
process of its own.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from omegaconf import DictConfig

from siamese_lab.config.compose import read_config
from siamese_lab.config.identity import resolved_hash
from siamese_lab.config.trust import Trust, trust_of_a_job
from siamese_lab.core.errors import INTERRUPTED, LabError
from siamese_lab.core.messages import on_standard_error
from siamese_lab.core.processes import is_alive
from siamese_lab.data.load import load_data
from siamese_lab.model.checkpoint import newest_checkpoint
from siamese_lab.runs.folder import RunFolder, run_folder
from siamese_lab.runs.job import Job
from siamese_lab.runs.states import EXIT_CODES
from siamese_lab.training.assemble import assemble
from siamese_lab.training.exit_state import out_of_memory
from siamese_lab.training.run import train

log = logging.getLogger(__name__)

DISTRIBUTED = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "NODE_RANK", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
FOREIGN = (*DISTRIBUTED, "PL_GLOBAL_SEED", "SLURM_NTASKS")
"""Variables that would make Lightning take a job for a part of another."""

GONE = 75  # exit code, as EXIT_CODES says of "preempted"
GRACE = 30.0  # seconds for a checkpoint once the sweep is gone


def run_job(study: Path, run_id: str, threads: int | None = None) -> int:
    """Trains the run of a job whose config lies at `jobs/<run id>.yaml`, or goes on from its checkpoint.

    Args:
        threads: of this process; None = torch's own choice.

    Returns:
        The exit code, see `runs.states.EXIT_CODES`; what went wrong is printed.
    """
    for name in FOREIGN:
        os.environ.pop(name, None)
    os.environ["SIAMESE_LAB_OUTPUTS"] = str(study.resolve().parent)
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with on_standard_error():
            try:
                trust = trust_of_a_job()
                path = Job(study.resolve().name, run_id, {}).file("yaml")
                cfg = read_config(path, trust=trust, name="the job's config")  # alike in all jobs: one reason is told
                return _train(cfg, run_id, trust)
            except LabError as error:
                log.error(error)
                return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:
        traceback.print_exc()
        return EXIT_CODES["oom" if out_of_memory(error) else "failed"]


def _train(cfg: DictConfig, run_id: str, trust: Trust) -> int:
    samples = load_data(cfg, trust=trust)
    folder = run_folder(cfg.study, run_id)
    if resolved_hash(cfg, samples.fingerprint) != run_id:
        raise LabError(
            f"the data of the job {run_id} are no longer those that the study was planned with: give the command again"
        )
    begun = _has_begun(folder)
    if begun and folder.state() == "ok":
        return 0
    if begun and folder.info()["state"] == "running" and is_alive(folder.info()):
        raise LabError(folder.busy_message())  # before its checkpoints are looked at: one of them may be half-written
    try:
        resume = begun and newest_checkpoint(folder.path / "checkpoints").path is not None
    except LabError as error:  # none of them is whole
        log.warning("begins anew: %s", error)
        Job(cfg.study, run_id, {}).set_aside()
        resume = False
    train(cfg, folder, assemble(cfg, samples=samples, trust=trust), force=not resume, resume=resume)
    return EXIT_CODES[folder.state()]


def _has_begun(folder: RunFolder) -> bool:
    """Whether there is a run to go on with; what a kill has left half-written is begun anew."""
    try:
        return folder.exists() and bool(folder.state())
    except LabError as error:
        log.warning("begins anew: %s", error)
        return False


def end_after(wait: Callable[[], object]) -> None:
    """Ends this process once `wait` has returned, with a checkpoint if there is time for one.

    Args:
        wait: returns when the process that started this one is gone, whatever it died of.
    """

    def watch() -> None:
        wait()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(GONE)

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    """Runs a job in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m siamese_lab.sweep.execution.worker")
    parser.add_argument("study", type=Path)
    parser.add_argument("run_id")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--follow-stdin", action="store_true", help="end when the standard input is closed")
    given = parser.parse_args()
    if given.follow_stdin:
        end_after(sys.stdin.read)
    return run_job(given.study, given.run_id, given.threads)


if __name__ == "__main__":
    sys.exit(main())
