"""A run's second and further processes: `ranks.py` starts them, and tells each on its standard input what to train."""

import json
import os
import shutil
import sys
import threading
import traceback
from pathlib import Path

from omegaconf import OmegaConf

from siamese_lab.config.ranges import duration
from siamese_lab.config.trust import Trust
from siamese_lab.core.errors import LabError
from siamese_lab.distributed import collectives
from siamese_lab.model.checkpoint import Start
from siamese_lab.runs.folder import RunFolder
from siamese_lab.training.assemble import assemble
from siamese_lab.training.exit_state import exit_state
from siamese_lab.training.interruption import Interruption
from siamese_lab.training.throughput import Throughput
from siamese_lab.training.trainer import fit, quiet
from siamese_lab.training.validation import Validation


def main() -> int:
    """Trains along; writes nothing. Returns the exit code."""
    orders = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_first, args=(Path(orders["meeting"]).parent,), daemon=True).start()
    quiet()
    cfg = OmegaConf.create(orders["config"])
    OmegaConf.set_struct(cfg, True)
    packages = orders["packages"]
    t, path = cfg.trainer, Path(orders["run"])
    interruption = Interruption(duration(t.max_time))
    try:
        with interruption.listening():
            experiment = assemble(cfg, trust=Trust(None if packages is None else tuple(packages)))
            if experiment.samples.fingerprint != orders["fingerprint"]:
                raise LabError("the data changed while the run was being started: start it again")
            start = Start(Path(orders["checkpoint"]) if orders["checkpoint"] else None, orders["step"])
            gpu = experiment.decided.accelerator == "gpu"
            size, threads = cfg.evaluation.batch_size, experiment.decided.threads
            with collectives.process_group(Path(orders["meeting"]), orders["rank"], t.devices, gpu, threads):
                validation = Validation(
                    experiment.samples, experiment.protocols, t.validate_every, size, t.patience, interruption
                )
                fit(cfg, path, experiment, validation, Throughput(), interruption, start)
    except BaseException as error:
        end = exit_state(error, RunFolder(path), interruption.step)
        if end.message is None and not isinstance(error, LabError):
            traceback.print_exc()
        else:
            print(end.message or error, file=sys.stderr)
        return end.exit_code
    return 0


def _end_with_the_first(scratch: Path) -> None:
    """The standard input is closed when the first process ends, whatever it dies of; nothing is left to do then."""
    sys.stdin.read()
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
