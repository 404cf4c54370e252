"""A link that is slow one way: what stands behind it answers with so many bytes a second on each connection, not more."""

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE = 64 * 1024


@contextmanager
def slow_link(port: int, bytes_per_second: int) -> Iterator[int]:
    """The port of a proxy in front of another port of this machine."""
    begun: queue.Queue[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def serve() -> None:
        over = asyncio.Event()
        async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
            begun.put((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), over))
            await over.wait()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_behind = await asyncio.open_connection("127.0.0.1", port)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(carry(reader, to_behind, 0), carry(behind, writer, 1 / bytes_per_second))

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    bound, loop, over = begun.get(timeout=5)
    try:
        yield bound
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds_a_byte: float) -> None:
    try:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(len(piece) * seconds_a_byte)
    finally:
        writer.close()
