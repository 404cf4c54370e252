"""What systemd is told: that the service is ready."""

import os
import socket
from contextlib import suppress


def tell_ready() -> None:
    """A worker has started; nothing happens unless systemd wants to know (`Type=notify`)."""
    # :: if server in ("gunicorn", "hypercorn")
    address = os.environ.get("SERVICE_NOTIFY_SOCKET", "")
    # :: else
    address = os.environ.get("NOTIFY_SOCKET", "")
    # :: endif
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, suppress(OSError):
            notify.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            notify.send(b"READY=1")
