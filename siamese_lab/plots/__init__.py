"""Pictures of results, with matplotlib and Pillow."""
