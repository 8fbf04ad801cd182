"""`python -m siamese_lab.train`: an ordinary Hydra app, for those who bring their own launchers and sweepers."""

import sys

import hydra
from omegaconf import DictConfig

from siamese_lab.commands.train import train_if_needed
from siamese_lab.config.compose import check_composed
from siamese_lab.core.paths import config_dir
from siamese_lab.runs.metrics_file import read_best

if __name__ == "__main__":
    sys.argv[1:1] = [
        "hydra.run.dir=.",
        "hydra.sweep.dir=.",
        "hydra.sweep.subdir=.",
        "hydra.output_subdir=null",
        "hydra/job_logging=none",
    ]

    @hydra.main(config_path=str(config_dir()), config_name="train", version_base="1.3")
    def main(cfg: DictConfig) -> float | None:
        """Trains; returns the best headline figure on validation, which is what a sweeper may optimise."""
        folder, _ = train_if_needed(check_composed(cfg))
        best = read_best(folder.path)
        return best if isinstance(best, float) else None

    main()
