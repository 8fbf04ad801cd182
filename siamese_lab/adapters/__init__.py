"""Other libraries' parts behind our contracts."""
