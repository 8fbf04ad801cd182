"""Jobs of a sweep through a launcher: claimed, scheduled, watched and recorded."""
