"""`siamese-lab rerun`: tries again what failed of a study, or trains runs anew."""

import os
import shlex
from collections.abc import Sequence

from siamese_lab.config.trust import VARIABLE, Trust, allowed_packages
from siamese_lab.core.errors import LabError
from siamese_lab.core.paths import outputs
from siamese_lab.core.text import printable
from siamese_lab.runs.find import find_run
from siamese_lab.runs.folder import EXIT_CODES, RunFolder
from siamese_lab.runs.job import Job
from siamese_lab.runs.listing import is_study
from siamese_lab.runs.study import Study, find_study, read_study
from siamese_lab.sweep.execution.launcher import Launcher, build_launcher
from siamese_lab.sweep.execution.table import read_row, sweep_console
from siamese_lab.sweep.launchers.local import Local


def command(names: Sequence[str], only_print: bool = False, trust: Sequence[str] = ()) -> int:
    """Runs what is not finished of a study, whatever its attempts so far; or runs anew, from their recorded configs.

    What a run that is trained anew had written is moved to `jobs/replaced` of its study.

    Args:
        names: a study; or runs.
        only_print: print the commands that made them, and stop.
        trust: packages whose code the runs' configs may build from, beside those of SIAMESE_LAB_TRUST.

    Raises:
        LabError: if there is no such study or run, or it is running.
    """
    allowed = allowed_packages(trust)
    if len(names) == 1 and (name := find_study(names[0])) is not None:
        study = read_study(name)
        jobs = [row.job for row in map(read_row, study.jobs) if row.state != "ok"]
        if only_print:
            print("\n".join(_job_command(study, job) for job in jobs or study.jobs))
            return 0
        if not jobs:
            done = f"The study {study.name} is finished: {len(study.jobs)} runs"
            print(f"{done}. To train one of them anew: siamese-lab rerun RUN")
            return 0
        return _run_jobs(study, jobs, allowed)
    folders = [find_run(name) for name in names]
    if only_print:
        print("\n".join(map(_run_command, folders)))
        return 0
    if busy := next((folder for folder in folders if folder.state() == "running"), None):
        raise LabError(busy.busy_message())
    # here: Hydra takes long to import
    from siamese_lab.config.compose import read_config

    code = 0
    for name in dict.fromkeys(folder.study for folder in folders):
        mine = [folder for folder in folders if folder.study == name]
        if is_study(outputs() / name):
            study = read_study(name)
            jobs = [job for job in study.jobs if job.run_id in {folder.run_id for folder in mine}]
            for job in jobs:
                read_config(job.file("yaml"), trust=allowed)  # refused while nothing has been touched
            for job in jobs:
                job.set_aside()
            code = max(code, _run_jobs(study, jobs, allowed))
            mine = [folder for folder in mine if folder.run_id not in {job.run_id for job in jobs}]
        for folder in mine:
            code = max(code, _train_anew(folder, allowed))
    return code


def _run_jobs(study: Study, jobs: Sequence[Job], trust: Trust) -> int:
    # here: Hydra takes long to import
    from siamese_lab.config.compose import read_config
    from siamese_lab.sweep.execution.run import run_jobs

    for job in jobs:
        if read_row(job).state == "diverged":
            job.set_aside()  # from its checkpoint it would diverge again
        job.forgive()
    try:
        for job in jobs:  # the study may come from elsewhere
            read_config(job.file("yaml"), trust=trust)
        launcher = _local_launcher(study)
    except LabError as error:
        again = "if it is your own, give its command again, `siamese-lab train -m ...`"
        raise LabError(f"{error}\n{again}: what has failed is no longer counted") from error
    os.environ[VARIABLE] = ",".join(trust.packages or ())  # the jobs are processes of their own
    return run_jobs(sweep_console(), study.name, jobs, launcher)


def _local_launcher(study: Study) -> Launcher:
    """The launcher of a study, if it is the local one.

    Those of other machines are refused: their settings, which say what a shell does before a job, are not taken from a
    file.
    """
    section = study.facts.get("launcher")
    if not section:
        return Local()
    if section.get("_target_") != f"{Local.__module__}.{Local.__qualname__}":
        raise LabError(
            f"the study {study.name} was run by {printable(section.get('_target_'))}, and study.json, which may come "
            "from elsewhere, could make that run anything"
        )
    return build_launcher(section)


def _train_anew(folder: RunFolder, trust: Trust) -> int:
    # here: Lightning takes long to import
    from siamese_lab.commands._run_report import print_run
    from siamese_lab.config.compose import read_config
    from siamese_lab.config.identity import resolved_hash
    from siamese_lab.data.load import load_data
    from siamese_lab.training.assemble import assemble
    from siamese_lab.training.run import train

    cfg = read_config(folder.path / "config.yaml", trust=trust)
    samples = load_data(cfg, trust=trust)
    if resolved_hash(cfg, samples.fingerprint) != folder.run_id:
        raise LabError(
            f"the run {folder.path} cannot be run again: its data or its config are no longer those it was trained with"
        )
    train(cfg, folder, assemble(cfg, samples=samples, trust=trust), force=True)
    print_run(folder, new=True)
    return EXIT_CODES[folder.state()]


def _run_command(folder: RunFolder) -> str:
    if is_study(outputs() / folder.study):
        study = read_study(folder.study)
        job = next((one for one in study.jobs if one.run_id == folder.run_id), None)
        if job is not None:
            return _job_command(study, job)
    words = folder.info().get("command") or ["siamese-lab"]
    return shlex.join(["siamese-lab", *map(str, words[1:])])


def _job_command(study: Study, job: Job) -> str:
    """The command that trains a job's run by itself."""
    point = [f"{key}={value}" for key, value in job.point.items()]
    dirs = [word for folder in study.facts.get("config_dirs", []) for word in ("--config-dir", folder)]
    fixed = study.facts.get("fixed", [])
    return shlex.join(["siamese-lab", "train", *fixed, *point, *dirs, f"study={study.name}"])
