"""The end of a listening socket: closing it cuts off who has connected and is not accepted yet."""

import os
import socket
import struct
import sys
from array import array
from contextlib import suppress

ATTACH_FILTER = 26  # Linux's SO_ATTACH_FILTER
# Load the byte of TCP's flags; if it has SYN, which opens a connection, drop the segment; let others pass.
NO_SYN = array("B", struct.pack("HBBI" * 4, 0x30, 0, 0, 13, 0x45, 0, 1, 2, 6, 0, 0, 0, 6, 0, 0, 0xFFFFFFFF))


# :: if server in ("uvicorn", "granian")
def handed_over() -> bool:
    """Whether systemd has opened the socket, which goes on listening."""
    return os.environ.get("LISTEN_PID") == str(os.getpid())


# :: endif
def close(listening: socket.socket) -> None:
    """Close it in the master that opened it. Nobody connects from now on; the workers have it too, and accept who waits.

    On Linux a client's TCP tries again by itself, a second later, and finds the next process, or is refused.
    """
    with suppress(OSError):  # a file that is gone; a sandbox that has no filters
        if listening.family == socket.AF_UNIX:
            os.unlink(listening.getsockname())
        elif sys.platform == "linux":
            listening.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("HP", 4, NO_SYN.buffer_info()[0]))
    listening.close()
