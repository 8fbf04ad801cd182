"""Training in several processes: collective operations and batch normalisation."""
