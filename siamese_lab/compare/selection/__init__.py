"""Which runs a comparison is of, and along which axes they differ."""
