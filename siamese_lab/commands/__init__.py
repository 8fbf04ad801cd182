"""The verbs of `siamese-lab`, one file each."""
