"""`siamese-lab train`: one run from a config to evaluated figures."""

from omegaconf import DictConfig

from siamese_lab.commands._run_report import print_run
from siamese_lab.config.identity import resolved_hash
from siamese_lab.core.errors import LabError
from siamese_lab.data.load import load_data
from siamese_lab.runs.folder import EXIT_CODES, RunFolder, run_folder
from siamese_lab.runs.seal import is_sealed
from siamese_lab.training.assemble import assemble
from siamese_lab.training.run import train


def command(cfg: DictConfig, force: bool = False) -> int:
    """Trains and prints the figures; for a run that is finished already, only prints them.

    Args:
        cfg: from `config.compose`.
        force: train anew what is finished; what it wrote is removed first.
    """
    folder, new = train_if_needed(cfg, force)
    print_run(folder, new)
    return EXIT_CODES[folder.state()]


def train_if_needed(cfg: DictConfig, force: bool = False) -> tuple[RunFolder, bool]:
    """The run of a config, trained unless it is finished already; and whether it has just been trained.

    Raises:
        LabError: if it was begun before and did not finish, and `force` is off.
    """
    samples = load_data(cfg)
    folder = run_folder(cfg.study, resolved_hash(cfg, samples.fingerprint))
    if is_sealed(folder) and not len(samples.ids("val")):
        words = "the runs of a study are compared on validation, and their test part is sealed"
        raise LabError(f"{words}; these data have no validation part")
    if folder.exists() and not force:
        state = folder.state()
        if state == "ok":
            return folder, False
        if state != "running":
            ended = f"the run {folder.path} was begun before and ended as {state}"
            raise LabError(f"{ended}: `siamese-lab resume {folder.short_id}` goes on with it, --force starts it anew")
    train(cfg, folder, assemble(cfg, samples=samples), force=force)
    return folder, True
