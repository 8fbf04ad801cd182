"""What flows between the rooms: samples, batches, embeddings and tuples, and the contracts of all options."""
