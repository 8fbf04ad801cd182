"""`outputs/<study>/jobs/slurm/`: the SLURM job that was submitted for a run, and the exit code that it left.

slurm/<run id>.json             the submission
slurm/<run id>.<mark>.code      the exit code, written on the node
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from siamese_lab.core.errors import LabError
from siamese_lab.core.files import SCHEMA_VERSION, read_json, write_json, write_text
from siamese_lab.runs.job import Job


@dataclass(frozen=True)
class Submission:
    """A submitted job.

    Args:
        cluster: "slurm" or "local".
        number: of the job in SLURM.
        ended: the file for its exit code.
    """

    cluster: str
    number: str
    ended: Path


def submissions_folder(job: Job) -> Path:
    """The folder of a study's submissions."""
    return job.file("yaml").parent.resolve() / "slurm"


def new_exit_code_file(job: Job) -> Path:
    """A new file name for an exit code; the files of earlier submissions of the run are removed."""
    folder = submissions_folder(job)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{job.run_id}.*.code"):
        old.unlink(missing_ok=True)
    return folder / f"{job.run_id}.{uuid4().hex[:8]}.code"


def write_exit_code(file: Path, code: int) -> None:
    """Writes the exit code of a job, whole or not at all; negative for a signal."""
    write_text(file, f"{code}\n")


def read_exit_code(file: Path) -> int:
    """The exit code that a job has written.

    Raises:
        OSError: if there is none yet.
        ValueError: if it is no number.
    """
    return int(file.read_text(encoding="utf-8"))


def write_submission(job: Job, submission: Submission) -> None:
    """Records a submission, so that a later sweep finds the job."""
    fields = {"cluster": submission.cluster, "number": submission.number, "ended": submission.ended.name}
    write_json(submissions_folder(job) / f"{job.run_id}.json", {"schema": SCHEMA_VERSION, **fields})


def read_submission(job: Job) -> Submission | None:
    """The submission of an earlier sweep; None if there is none, or the file is broken."""
    folder = submissions_folder(job)
    with suppress(LabError, KeyError):
        found = read_json(folder / f"{job.run_id}.json")
        return Submission(str(found["cluster"]), str(found["number"]), folder / Path(str(found["ended"])).name)
    return None
