"""Options of sampling=: which images make a batch."""
