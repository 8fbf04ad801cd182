"""`siamese-lab check`: what a run would do, without training it."""

from omegaconf import DictConfig
from rich.console import Console

from siamese_lab.training.assemble import assemble
from siamese_lab.training.dry_run import describe


def command(cfg: DictConfig) -> int:
    """Builds, draws batches, prints; nothing is trained or written.

    Args:
        cfg: from `config.compose`.

    Raises:
        LabError: if the run could not be begun, or would train nothing.
    """
    experiment = assemble(cfg)
    console = Console(highlight=False, soft_wrap=True)
    for line in describe(cfg, experiment):
        console.print(line, markup=False)
    return 0
