"""Traces that are not sent yet when a worker ends."""

from threading import Thread

from opentelemetry import trace

SECONDS = 8  # deployments allow 10 seconds more than DRAIN_SECONDS


def send_last_traces() -> None:
    """Send them, for at most SECONDS; FastAPI's own attempt after this has no time limit."""
    if shutdown := getattr(trace.get_tracer_provider(), "shutdown", None):  # otherwise tracing is off
        sending = Thread(target=shutdown, daemon=True)
        sending.start()
        sending.join(SECONDS)
