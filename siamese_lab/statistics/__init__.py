"""Figures with intervals, and estimates over seeds and identities."""
