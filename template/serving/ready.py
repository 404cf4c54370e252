"""What a worker does when it is ready."""

import gc
import os
import socket
import threading
from contextlib import suppress


def ready() -> None:
    """Exclude what is loaded from garbage collection, and notify systemd if it asks for that (`Type=notify`)."""
    if threading.current_thread() is threading.main_thread():  # a test client's loop is in another
        gc.freeze()  # otherwise a full collection traverses all of it, while requests wait for 20 ms
    # :: if server in ("gunicorn", "hypercorn")
    address = os.environ.get("SERVICE_NOTIFY_SOCKET", "")
    # :: else
    address = os.environ.get("NOTIFY_SOCKET", "")
    # :: endif
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, suppress(OSError):
            notify.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            notify.send(b"READY=1")
