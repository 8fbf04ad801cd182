"""Options of distance=: how two embeddings are compared; smaller = more alike."""
