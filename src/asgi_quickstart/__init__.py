"""A quick start for Python 3 ASGI services."""
