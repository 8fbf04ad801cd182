"""Which labels are likely wrong, and which images are likely duplicates."""
