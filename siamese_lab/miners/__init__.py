"""Options of miner=: which pairs or triplets of a batch the loss is computed over."""
