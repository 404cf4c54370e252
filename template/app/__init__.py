"""Your code: what this service does."""
