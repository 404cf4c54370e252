"""Clients that never read the response, which would stay in memory until they are disconnected."""

import asyncio
import os
import socket
import struct
import sys
from contextlib import suppress
from time import monotonic
from typing import Self

INFO = struct.Struct("=B119xQ16xI")  # of Linux's TCP_INFO: state, bytes acknowledged, bytes not sent yet
LISTENING = 10
RESET = struct.pack("ii", 1, 0)  # for SO_LINGER: discard unsent data


class SlowReaders:
    """While entered, closes connections whose client reads nothing of what is pending for `seconds`.

    A client that reads slowly acknowledges data now and then; one that never reads stops when its buffer is full.
    No server checks that, and the kernel's TCP_USER_TIMEOUT would end slow readers too. Linux only.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ports: set[int] = set()  # this process listens on; its outgoing connections are left alone
        self._stuck: dict[int, tuple[int, float]] = {}  # by file descriptor: bytes acknowledged, and since when
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        if sys.platform == "linux":
            self._task = asyncio.create_task(self._watch())
        return self

    def __exit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.seconds / 8)
            await self._look(monotonic())

    async def _look(self, now: float) -> None:
        stuck = {}
        for number, fd in enumerate(map(int, os.listdir("/proc/self/fd"))):
            if number % 100 == 99:
                await asyncio.sleep(0)  # there may be 10,000, while requests wait
            with suppress(OSError):  # not a TCP socket, or already closed
                state, acknowledged, unsent = tcp_info(fd)
                if state == LISTENING:
                    with socket.fromfd(fd, socket.AF_INET, socket.SOCK_STREAM) as listening:
                        self._ports.add(listening.getsockname()[1])
                elif unsent:
                    before, since = self._stuck.get(fd, (None, now))
                    stuck[fd] = acknowledged, since if acknowledged == before else now
                    if now - stuck[fd][1] >= self.seconds * 3 / 4:  # noticed late, and the next check would be too late
                        self._close(fd)
        self._stuck = stuck

    def _close(self, fd: int) -> None:
        """Close it as if the client had."""
        with socket.fromfd(fd, socket.AF_INET, socket.SOCK_STREAM) as connection:
            if connection.getsockname()[1] in self._ports:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                connection.shutdown(socket.SHUT_RDWR)


def tcp_info(fd: int) -> tuple[int, int, int]:
    """State, bytes acknowledged and bytes not sent yet; OSError if it is not a TCP socket."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, fd)
    try:
        return INFO.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO.size))
    finally:
        connection.detach()  # the file descriptor belongs to the server
