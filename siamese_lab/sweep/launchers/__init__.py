"""Options of launcher=: where the jobs of a sweep run."""
