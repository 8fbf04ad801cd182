"""What the server that jobs are forked from has imported: all that a run needs, and nothing that starts a thread or touches a GPU."""

import matplotlib.backends.backend_agg
import matplotlib.figure
import torch.utils.tensorboard

import siamese_lab.sweep.worker
import siamese_lab.train

__all__ = ["matplotlib", "siamese_lab", "torch"]
