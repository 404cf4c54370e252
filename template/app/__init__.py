"""Your room: what this service does."""
