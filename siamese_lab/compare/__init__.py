"""Comparison of runs: which ones, what they show, and the report."""
