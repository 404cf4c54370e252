"""The founding settings: what is not said is gunicorn's default."""

bind = "127.0.0.1:8000"
workers = 1
