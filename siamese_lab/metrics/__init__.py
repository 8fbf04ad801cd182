"""Figures of embeddings as pure functions: pairs, ROC, ranking, recognition, neighbours."""
