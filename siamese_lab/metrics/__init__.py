"""Figures of embeddings as pure functions, and as torchmetrics classes (`modules`)."""
