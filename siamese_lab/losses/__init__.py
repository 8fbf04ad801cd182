"""Options of loss=: what training lowers."""
