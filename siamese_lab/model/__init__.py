"""The twin encoder, the LightningModule that trains it, its optimizers and checkpoints."""
