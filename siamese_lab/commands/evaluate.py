"""`siamese-lab evaluate`: evaluates a trained run again, on its own or other data, by its own or other protocols."""

import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from siamese_lab.commands._run_report import print_figures
from siamese_lab.config.compose import EVALUATED, compose, read_config
from siamese_lab.config.groups import folders, option_file
from siamese_lab.config.instantiate import build
from siamese_lab.config.trust import EVERYTHING, Trust, allowed_packages
from siamese_lab.core.errors import LabError
from siamese_lab.core.paths import config_dir
from siamese_lab.core.text import printable
from siamese_lab.data.load import load_data
from siamese_lab.evaluation.evaluator import Chosen, choose, evaluate_part, refuse_unfit
from siamese_lab.evaluation.records import plain_figures
from siamese_lab.model.build_twin import load_twin
from siamese_lab.model.device import decide_device
from siamese_lab.runs.find import find_run
from siamese_lab.runs.folder import RunFolder
from siamese_lab.runs.metrics_file import classes_file, read_classes
from siamese_lab.runs.seal import log_opening
from siamese_lab.structures.contracts import EvaluationProtocol
from siamese_lab.structures.samples import Samples

log = logging.getLogger(__name__)


def command(
    run: str, data: list[str], protocols: list[str] | None, trust: Sequence[str] = (), config_dirs: Sequence[Path] = ()
) -> int:
    """Prints the figures; on the run's own data and protocols they are the run's own to the last digit.

    Args:
        run: folder or beginning of a run id.
        data: overrides of the data set: another, e.g. ["data=omniglot", "data.root=..."], or other values of the run's
            own, e.g. ["data.size=32"]; empty = the run's own as it was.
        protocols: names of options; None = the run's own.
        trust: packages whose code the run's config may build from, beside those of SIAMESE_LAB_TRUST.
        config_dirs: folders with options of the user's, for `data` and `protocols`.

    Raises:
        LabError: if there is no such run, it has no checkpoint, or the data do not fit the network.
    """
    allowed = allowed_packages(trust)
    folder = find_run(run)
    metrics = folder.metrics()  # first: nothing is evaluated of a run that is not at its end
    replaced = {"data"} if any(word.startswith("data=") for word in data) else set()
    replaced |= {"protocol"} if protocols is not None else set()  # `_protocols` checks those that it builds
    cfg = read_config(folder.path / "config.yaml", EVALUATED - replaced, allowed)
    twin = load_twin(folder, cfg, trust=allowed).to(decide_device(cfg, "auto").device)
    own = _other_data(cfg, data, config_dirs) if data else cfg
    samples = load_data(own, trust=EVERYTHING if data else allowed)
    shape, wanted = list(samples.images.shape[1:]), folder.info()["network"]["shape"]
    if shape != wanted:
        raise LabError(
            f"the network was trained on images of {wanted}, these are {shape}: set data.size and data.channels so"
        )
    if data:
        _refuse_trained_on(folder, cfg, own, samples)
    evaluated_by = _protocols(cfg, protocols, allowed, config_dirs)
    refuse_unfit(samples, evaluated_by, ("test",))
    size = cfg.evaluation.batch_size
    chosen: Chosen = metrics["chosen"] if data else choose(twin, samples, evaluated_by, size)
    if metrics.get("sealed") and samples.fingerprint == metrics["data"]["fingerprint"]:
        log_opening(folder.path.parent, [folder.run_id], "siamese-lab evaluate")
        log.warning("this opens the sealed test part of the study %s; the opening is logged", folder.study)
    figures = evaluate_part(twin, samples, "test", evaluated_by, chosen, size)
    if not figures:
        raise LabError("there is nothing to evaluate: these data have no test part, or none of the protocol's trials")
    beside, console = {}, Console(highlight=False, soft_wrap=True)
    if not data:
        if metrics["data"]["fingerprint"] == samples.fingerprint:
            beside = {} if metrics.get("sealed") else {"at the run's end": metrics["test"]}
        else:
            words = "The data have changed since the run was trained"
            console.print(f"{words}: its figures at its end are not comparable and not shown.\n")
    print_figures(console, f"{folder.path}", plain_figures(figures), beside)
    return 0


def _protocols(
    cfg: DictConfig, names: list[str] | None, trust: Trust, config_dirs: Sequence[Path]
) -> dict[str, EvaluationProtocol]:
    """The protocols of these names: as the run has set them where it has them, else with their defaults."""
    names = list(map(str, cfg.protocol)) if names is None else names
    others = [name for name in names if name not in cfg.protocol]
    for name in others:
        option_file("protocol", name, folders(config_dir(), config_dirs))  # refuses what is none
    defaults = compose([f"protocol=[{','.join(others)}]"], config_dirs).protocol if others else {}
    own = {name: build(cfg.protocol[name], trust=trust) for name in names if name not in others}
    return {name: own[name] if name in own else build(defaults[name]) for name in names}


def _refuse_trained_on(folder: RunFolder, cfg: DictConfig, other: DictConfig, samples: Samples) -> None:
    """Refuses other data of the run's own data set whose test part holds identities that the run was trained on.

    Identities of another data set that bear the same names are others.
    """
    same = isinstance(cfg.data, DictConfig) and other.data._target_ == cfg.data.get("_target_")
    if not same or samples.disjoint == "image" or not classes_file(folder.path).exists():
        return
    there = {samples.classes[label] for label in samples.labels[samples.ids("test")].unique().tolist()}
    common = sorted(there & set(read_classes(folder.path)))
    if common:
        raise LabError(
            f"the run was trained on {len(common):,} of the {len(there):,} identities of this test part, e.g. "
            f"{printable(common[0])}: its figures would flatter it; choose a split without them"
        )


def _other_data(cfg: DictConfig, words: list[str], config_dirs: Sequence[Path]) -> DictConfig:
    """A config whose data section is the user's: another option, or the run's own with other values."""
    others = [word for word in words if not word.startswith(("data=", "data.", "+data."))]
    if others:
        raise LabError(f"--data takes overrides of the data, data=... and data.key=..., got {' '.join(others)}")
    if any(word.startswith("data=") for word in words):
        return compose(words, config_dirs)
    with TemporaryDirectory() as folder:  # the run's data set may be no option that is there today
        option = Path(folder, "data", "of_the_run.yaml")
        option.parent.mkdir()
        option.write_text(OmegaConf.to_yaml(cfg.data), encoding="utf-8")
        return compose([f"data={option.stem}", *words], [*config_dirs, Path(folder)])
