"""What the server that jobs are forked from has imported: all that a run needs, and nothing that starts a thread or touches a GPU."""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's and scipy's would start their threads here; the cores are shared out among jobs anyway

import matplotlib.backends.backend_agg
import matplotlib.figure
import torch.utils.tensorboard

import siamese_lab.sweep.worker
import siamese_lab.train
from siamese_lab.plots import rehearse

rehearse()

__all__ = ["matplotlib", "siamese_lab", "torch"]
