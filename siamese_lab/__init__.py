"""A lab for siamese networks and metric learning: PyTorch Lightning, Hydra configs, intervals on every figure."""
