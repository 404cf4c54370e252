"""What systemd is told: that the service is ready."""

import os
import socket
from contextlib import suppress

GIVEN = "NOTIFY_SOCKET"
# :: if server in ("gunicorn", "hypercorn")
KEPT = "SERVICE_NOTIFY_SOCKET"


def on_starting(server: object) -> None:
    """gunicorn's hook: keep the socket from gunicorn's master, which would be ready before any worker is."""
    if GIVEN in os.environ:
        os.environ[KEPT] = os.environ.pop(GIVEN)


# :: endif
def tell_ready() -> None:
    """A worker has started; nothing happens unless systemd wants to know (`Type=notify`)."""
    address = os.environ.get(GIVEN, "")
    # :: if server in ("gunicorn", "hypercorn")
    address = os.environ.get(KEPT, "")
    # :: endif
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, suppress(OSError):
            notify.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            notify.send(b"READY=1")
