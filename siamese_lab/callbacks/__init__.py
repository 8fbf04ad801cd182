"""Options of callback=: what watches or steers a training run."""
