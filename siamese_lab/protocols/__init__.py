"""Options of protocol=: what embeddings are evaluated by."""
