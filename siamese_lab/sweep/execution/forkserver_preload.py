"""What the fork server imports: all that a run needs, and nothing that starts a thread or touches a GPU."""

# ruff: noqa: E402 - what is set above the imports is for them

import gc
import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy and scipy would start their threads here, and jobs share the cores

gc.disable()  # nothing that is imported is garbage, and looking for it takes a sixth of the time

import matplotlib.backends.backend_agg
import matplotlib.figure
import torch.utils.tensorboard

import siamese_lab.sweep.execution.worker
import siamese_lab.training.run
from siamese_lab.plots._style import load_fonts

load_fonts()
gc.enable()

__all__ = ["matplotlib", "siamese_lab", "torch"]
