"""Plots of results, with matplotlib and Pillow."""
