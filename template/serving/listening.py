"""Closing a listening socket without cutting off clients that have connected but are not accepted yet."""

import os
import socket
import struct
import sys
from array import array
from contextlib import suppress

ATTACH_FILTER, MIN_TTL, MIN_HOPS = 26, 21, 73  # Linux's SO_ATTACH_FILTER, IP_MINTTL, IPV6_MINHOPCOUNT
# Load the byte of TCP flags; drop the segment if SYN is set, which opens a connection; let others pass.
NO_SYN = array("B", struct.pack("HBBI" * 4, 0x30, 0, 0, 13, 0x45, 0, 1, 2, 6, 0, 0, 0, 6, 0, 0, 0xFFFFFFFF))


# :: if server in ("uvicorn", "granian")
def handed_over() -> bool:
    """Whether systemd has opened the socket, and keeps it open."""
    return os.environ.get("LISTEN_PID") == str(os.getpid())


# :: endif
def close(listening: socket.socket) -> None:
    """Close it in the master that opened it. No new connections; the workers still accept those that are waiting.

    On Linux a client's TCP retries by itself a second later, and reaches the next process or is refused.
    """
    with suppress(OSError):  # the file is gone, or a sandbox does not support any of this
        if listening.family == socket.AF_UNIX:
            os.unlink(listening.getsockname())
        elif sys.platform == "linux":
            try:
                listening.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("HP", 4, NO_SYN.buffer_info()[0]))
            except OSError:  # some kernels allow it only with CAP_NET_ADMIN
                listening.setsockopt(socket.IPPROTO_IP, MIN_TTL, 255)  # what systems send has less: 64 or 128
                listening.setsockopt(socket.IPPROTO_IPV6, MIN_HOPS, 255)  # fails on IPv4
    listening.close()
