"""Writes the event files of runs for TensorBoard, and serves them."""
