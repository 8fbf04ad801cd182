"""Options of memory=: embeddings of earlier batches that a loss may compare with."""
