"""Hyperparameter search with Optuna: the space, the trials, the report."""
