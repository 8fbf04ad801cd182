"""Images on their way from files or the net to batches: download, decode, store, load."""
