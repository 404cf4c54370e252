"""What happens when a worker is ready."""

import gc
import os
import socket
import threading
from contextlib import suppress


def ready() -> None:
    """Keep what was loaded from the garbage collector, and tell systemd if it wants to know (`Type=notify`)."""
    if threading.current_thread() is threading.main_thread():  # a test client's loop is in another
        gc.freeze()  # else a full collection looks through all of it, for 20 ms in which every request waits
    # :: if server in ("gunicorn", "hypercorn")
    address = os.environ.get("SERVICE_NOTIFY_SOCKET", "")
    # :: else
    address = os.environ.get("NOTIFY_SOCKET", "")
    # :: endif
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, suppress(OSError):
            notify.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            notify.send(b"READY=1")
