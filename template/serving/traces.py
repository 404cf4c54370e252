"""The traces that are not sent yet when a worker ends."""

from threading import Thread

from opentelemetry import trace

SECONDS = 8  # in which they must be sent: deployments give a service 10 more than DRAIN_SECONDS


def send_last_traces() -> None:
    """Called by a worker when it has nothing more to trace: what FastAPI itself would send after that has no limit."""
    if shutdown := getattr(trace.get_tracer_provider(), "shutdown", None):  # else nothing is traced
        sending = Thread(target=shutdown, daemon=True)
        sending.start()
        sending.join(SECONDS)
