"""A cheap problem for the searches' tests: runs that are a formula, in real run folders; also a process of its own."""

import hashlib
import json
import math
import sys
import time
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from siamese_lab.core.files import write_json
from siamese_lab.runs.job import Job
from siamese_lab.runs.study import Study
from siamese_lab.sweep.search.job_source import SearchJobs
from siamese_lab.sweep.search.space import build_space
from siamese_lab.sweep.search.storage import open_study
from siamese_lab.sweep.search.trials import Trials

GROUPS = {"loss": ["contrastive", "supcon", "triplet"], "backbone": ["conv4", "lenet"], "optimizer": ["adamw", "sgd"]}
HAVE = {"loss.margin": ("contrastive", "triplet"), "loss.temperature": ("supcon",)}  # which losses have which value
WORDS = ("loss=contrastive,supcon,triplet", "loss.margin=interval(0.05,1)", "optimizer.lr=tag(log,interval(1e-4,1e-2))")


def space_of(*words):
    """The space of the words, over GROUPS."""
    parser = OverridesParser.create()
    parsed = [parser.parse_override(word) for word in words]
    return build_space({override.key_or_group: override for override in parsed}, GROUPS)


def point(values, study="s"):
    """As `search_plan.point_job`: collapses what the loss lacks; the run id is the hash of the rest."""
    loss = values.get("loss", "contrastive")
    kept = {key: value for key, value in values.items() if loss in HAVE.get(key, (loss,))}
    run_id = hashlib.sha256(json.dumps(sorted(kept.items())).encode()).hexdigest()[:12]
    return Job(study, run_id, kept), json.dumps(kept)


def error(values):
    """The objective: triplet with a margin of 0.3 and a rate of 1e-3 is the best, 0."""
    loss, margin, lr = (
        values.get("loss", "triplet"),
        float(values.get("loss.margin", 0.5)),
        float(values.get("optimizer.lr", 1e-3)),
    )
    best = {"triplet": 0.3, "contrastive": 0.8}
    return {"triplet": 0.0, "contrastive": 0.1, "supcon": 0.05}[loss] + (
        abs(margin - best[loss]) if loss in best else 0
    ) + 0.2 * abs(math.log10(lr / 1e-3))  # fmt: skip


def finish(job, value, epochs=4, better="low"):
    """Writes the run folder of a finished run."""
    begin(job, [value * (2 - (i + 1) / epochs) for i in range(epochs)], better)
    write_json(job.folder.path / "metrics.json", {"schema": 2, "best": value})
    job.folder.finish("ok")


def begin(job, values, better="low"):
    """Writes the run folder of a run that has been evaluated so far."""
    if not job.folder.exists():
        job.folder.create()
    entries = [{"epoch": i, "step": 10 * i, "val/verification/eer": value} for i, value in enumerate(values)]
    history = {"schema": 2, "monitor": "val/verification/eer", "better": better, "max_epochs": 4, "entries": entries}
    write_json(job.folder.path / "history.json", history)


def source(
    axes,
    total,
    sampler="random",
    storage="journal",
    study="s",
    better="low",
    startup=10,
    prunes=None,
    seed=0,
    retries=2,
):
    """The source of a search under the outputs, with the study's file."""
    from siamese_lab.core.paths import outputs
    from siamese_lab.sweep.search.samplers import build_pruner

    if not (outputs() / study / "study.json").exists():
        Study(study, {}, []).write()
    opened = open_study(storage, outputs() / study / "search", study, better)
    opened.pruner = build_pruner(prunes, 2, startup)
    return SearchJobs(
        Trials(opened, axes, sampler, seed, startup, total, retries),
        lambda values: point(values, study),
        better,
        prunes is not None,
        storage,
    )


def go(drawn, train=lambda job: (finish(job, error(job.point)), "ok")[1]):
    """As `scheduler.schedule` with one slot; returns the jobs that were trained."""
    jobs = []
    while drawn.has_more():
        job = drawn.next_job()
        if job is None:
            if drawn.has_more() and not drawn._running:
                continue
            return jobs
        jobs.append(job)
        drawn.record_end(job, train(job))
    return jobs


# a process that searches: SECONDS that a run takes, TOTAL points, STORAGE; prints a line for each run
if __name__ == "__main__":

    def slowly(job):
        print("began", job.run_id, flush=True)
        time.sleep(float(sys.argv[1]))
        finish(job, error(job.point))
        print("ended", job.run_id, flush=True)
        return "ok"

    Path("ready").touch()
    go(source(space_of(*WORDS), int(sys.argv[2]), storage=sys.argv[3]), slowly)
