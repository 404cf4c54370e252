"""The end of a listening socket: closing it cuts off who has connected and is not accepted yet."""

import os
import socket
import struct
import sys
from array import array
from contextlib import suppress

ATTACH_FILTER = 26  # Linux's SO_ATTACH_FILTER
# Load the byte of TCP's flags; if it has SYN, which opens a connection, drop the segment; let others pass.
NO_SYN = array("B", struct.pack("HBBI" * 4, 0x30, 0, 0, 13, 0x45, 0, 1, 2, 6, 0, 0, 0, 6, 0, 0, 0xFFFF))


def drop_new_connections(listening: socket.socket) -> None:
    """From now on nobody connects, unless systemd goes on listening: TCP tries again, a second later. On Linux only."""
    if sys.platform == "linux" and os.environ.get("LISTEN_PID") != str(os.getpid()):
        with suppress(OSError):  # a sandbox that has no filters
            listening.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("HP", 4, NO_SYN.buffer_info()[0]))
