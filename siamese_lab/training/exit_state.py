"""How a run that did not finish is ended: its state, its exit code, and what the user is told to do."""

import errno
from dataclasses import dataclass

import torch

from siamese_lab.core.errors import INTERRUPTED, LabError, Lost, Stopped
from siamese_lab.runs.folder import RunFolder
from siamese_lab.runs.states import EXIT_CODES, state_of


@dataclass(frozen=True)
class ExitState:
    """How a run ends.

    A `message` of None leaves the error as it is: a LabError's own words, or the traceback of a defect.
    """

    state: str
    exit_code: int
    message: str | None = None


def exit_state(error: BaseException, folder: RunFolder, step: int) -> ExitState:
    """How a run that raised `error` ends.

    Args:
        error: what was raised.
        folder: of the run.
        step: optimizer steps done.
    """
    run, goes_on = folder.path, f"`siamese-lab resume {folder.short_id}` goes on"
    if isinstance(error, KeyboardInterrupt):
        error = Stopped("SIGINT", step)
    match error:
        case Stopped(reason="max_time"):
            return _state_with("timeout", f"the run {run} reached trainer.max_time after step {error.step}: {goes_on}")
        case Stopped(reason="diverged"):
            return _state_with(
                "diverged",
                f"the run {run} diverged: by step {error.step} the loss or a weight was NaN or infinite; its "
                "checkpoints are those before. Try a smaller optimizer.lr, a longer optimizer.schedule.warmup, a "
                "smaller trainer.gradient_clip_val, or trainer.precision=32-true",
            )
        case Stopped():
            code = INTERRUPTED if error.reason == "SIGINT" else EXIT_CODES["preempted"]
            words = f"the run {run} was stopped by {error.reason} after step {error.step}: {goes_on}"
            return ExitState("preempted", code, words)
        case Lost():
            state = state_of(error.exit_code)
            killed = "was killed; if nobody did that, the machine ran out of memory"
            how = killed if state == "killed" else f"ended as {state}"
            words = f"process {error.rank} of the run {run} {how}, after step {step}: {goes_on}"
            return _state_with(state, f"{words}\n{error.words}" if error.words else words)
        case _ if out_of_memory(error):
            return _state_with(
                "oom",
                f"the run {run} ran out of memory after step {step}: try a smaller sampling.batch_size, "
                f"evaluation.batch_size or backbone; with more memory {goes_on}",
            )
        case OSError():
            mend = "make room there, then" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "once that is mended"
            what = f"{error.strerror or error}, {error.filename or run}"
            return _state_with("failed", f"the run {run} failed after step {step}: {what}: {mend} {goes_on}")
    code = error.exit_code if isinstance(error, LabError) else EXIT_CODES["failed"]
    return ExitState(state_of(code), code)


def _state_with(state: str, message: str) -> ExitState:
    return ExitState(state, EXIT_CODES[state], message)


def out_of_memory(error: BaseException) -> bool:
    """Whether a device or the process could not get the memory it asked for."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # torch has no type of its own for the CPU's
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
