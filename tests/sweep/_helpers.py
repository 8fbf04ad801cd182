"""What the tests of sweeps share: small real jobs without a planner, and sweeps as processes of their own."""

import os
import time
from pathlib import Path

from tests import _commands
from tests.conftest import FEW, ROOT, SMALL

SCRIPT = """
import json, sys
from siamese_lab.sweep.execution.scheduler import schedule
from siamese_lab.sweep.launchers.local import Local
from siamese_lab.sweep.execution.job_source import JobList
from siamese_lab.sweep.execution.stop import Stop
from siamese_lab.runs.study import Study, read_study

if __name__ == "__main__":
    study, options = sys.argv[1], json.loads(sys.argv[2])
    stop = Stop()
    with stop.catch_signals():
        states = schedule(JobList(read_study(study).jobs), Local(**options), stop)
    print(json.dumps(states))
"""


def write_jobs(study, *points, common=()):
    """Writes a study of the small problem with a job for each point, a list of overrides; returns its jobs."""
    from siamese_lab.config.compose import compose, config_text
    from siamese_lab.config.identity import resolved_hash
    from siamese_lab.core.files import write_text
    from siamese_lab.data.load import load_data
    from siamese_lab.runs.job import Job
    from siamese_lab.runs.study import Study

    jobs, texts = [], []
    for point in points:
        cfg = compose([*SMALL, *FEW, *common, *point, f"study={study}"])
        run_id = resolved_hash(cfg, load_data(cfg).fingerprint)
        jobs.append(Job(study, run_id, dict(word.split("=", 1) for word in point)))
        texts.append(config_text(cfg))
    Study(study, {}, jobs).write()
    for job, text in zip(jobs, texts, strict=True):
        write_text(job.file("yaml"), text)
    return jobs


def start_sweep(study, outputs, **options):
    """Starts a sweep of a written study as a process in a session of its own."""
    import json

    path = Path(outputs) / "sweep_script.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SCRIPT)
    environment = os.environ | {"SIAMESE_LAB_OUTPUTS": str(outputs), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [str(path), study, json.dumps(options)]
    return _commands.start(
        command,
        env=environment,
        stdout=_commands.PIPE,
        stderr=_commands.PIPE,
        text=True,
        start_new_session=True,
        cwd=outputs,
    )


def wait_until(condition, seconds=300.0):
    """Waits until something is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise TimeoutError(condition)


def process_of(job):
    """The number of the process that trains a job, once it has begun."""
    from siamese_lab.core.errors import LabError

    try:
        info = job.folder.info()
    except LabError:
        return None
    return info["pid"] if info["state"] == "running" and (job.folder.path / "history.json").exists() else None


def figures(job):
    """What a run computed."""
    metrics = job.folder.metrics()
    return {key: metrics[key] for key in ("val", "best", "chosen", "epoch", "history")}


def fork_servers(pid):
    """The numbers of the processes that a sweep forks its jobs from."""
    children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [child for child in children if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()]
