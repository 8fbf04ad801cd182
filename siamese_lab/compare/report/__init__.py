"""What a comparison writes: the page, its plots, tables and sentences."""
