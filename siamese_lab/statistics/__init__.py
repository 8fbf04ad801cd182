"""Intervals and estimates; it knows embeddings and runs by their numbers alone."""
