"""What the server that jobs are forked from has imported: all that a run needs, and nothing that starts a thread or touches a GPU."""

import gc

import matplotlib.backends.backend_agg
import matplotlib.figure
import torch.utils.tensorboard

import siamese_lab.sweep.worker
import siamese_lab.train

gc.collect()
gc.freeze()  # jobs need not look through it again and again, and share its memory

__all__ = ["matplotlib", "siamese_lab", "torch"]
