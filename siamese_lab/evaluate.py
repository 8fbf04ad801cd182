"""`siamese-lab evaluate`: judges a trained run again, on its own or other data, by its own or other protocols."""

from dataclasses import asdict

from omegaconf import DictConfig
from rich.console import Console

from siamese_lab import config, judging, report, runs
from siamese_lab.assembly import decide, load
from siamese_lab.binding import build
from siamese_lab.checkpoint import trained
from siamese_lab.errors import LabError
from siamese_lab.runs import RunFolder


def command(run: str, data: list[str], protocols: list[str] | None) -> int:
    """Prints the figures; on the run's own data and protocols they are the run's own to the last digit.

    Args:
        run: folder or beginning of a run id.
        data: overrides of the data set, e.g. ["data=omniglot", "data.root=..."]; empty = the run's own.
        protocols: names of options; None = the run's own.

    Raises:
        LabError: if there is no such run, it has no checkpoint, or the data do not fit the network.
    """
    folder = runs.find(run)
    cfg = config.read(folder.path / "config.yaml")
    decide(cfg)
    module = trained(folder, cfg)
    samples = load(_composed(cfg, data, "data"), trusted=bool(data)) if data else load(cfg, trusted=False)
    shape, wanted = list(samples.images.shape[1:]), folder.info()["network"]["shape"]
    if shape != wanted:
        raise LabError(f"the network was trained on images of {wanted}, these are {shape}: set data.size and data.channels to match")
    if protocols is None:
        judges = {str(name): build(node, trusted=False) for name, node in cfg.protocol.items()}
    else:
        nodes = config.compose([f"protocol=[{','.join(protocols)}]"]).protocol
        judges = {str(name): build(node) for name, node in nodes.items()}
    size = cfg.evaluation.batch_size
    chosen = _chosen(folder) if data else judging.choose(module, samples, judges, size)
    figures = judging.judge(module, samples, "test", judges, chosen, size)
    if not figures:
        raise LabError("there is nothing to judge: the test part of these data is empty, or the protocol's trials are not in them")
    known = runs.read_json(folder.path / "metrics.json")["test"] if not data else {}
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        report.table(f"{folder.path}", {name: asdict(f) for name, f in figures.items()}, {"at the run's end": known} if known else {})
    )
    return 0


def _composed(cfg: DictConfig, data: list[str], key: str) -> DictConfig:
    """A config whose data section is the user's: overrides of another option, or of the one that the run has."""
    own = [] if any(word.startswith(f"{key}=") for word in data) else [f"{key}={cfg.choices[key]}"]
    return config.compose([*own, *data])


def _chosen(folder: RunFolder) -> judging.Chosen:
    """The thresholds that the run chose on its own validation part: other data are judged by these."""
    chosen: judging.Chosen = runs.read_json(folder.path / "metrics.json")["chosen"]
    return chosen
