"""Many subscribers of a channel, in a process of their own: `python -m bench.subscribers PORT`, told by lines of JSON what to do.

Raw connections and a parser that only counts, so that it is the service that is measured and not its clients.
"""

import asyncio
import base64
import json
import os
import resource
import sys
import time
from typing import Any, cast

import uvloop

HEADS = {
    "websocket": "GET /channels/{channel}/socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n\r\n",
    "sse": "GET /channels/{channel}/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "poll": "GET /channels/{channel}/poll?after={after}&wait=50 HTTP/1.1\r\nHost: localhost\r\n\r\n",
}
SENT = b'"sent":'


class Subscriber(asyncio.Protocol):
    """A connection that counts the messages it gets; each has the time in it at which it was published."""

    def __init__(self, crowd: "Crowd", request: bytes) -> None:
        self.crowd = crowd
        self.request = request
        self.fresh = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writable = cast(asyncio.Transport, transport)
        writable.write(self.request)
        self.crowd.transports.append(writable)

    def data_received(self, data: bytes) -> None:
        if self.fresh:
            self.fresh = False
            self.crowd.joined()
        crowd = self.crowd
        crowd.frames += 1
        if found := data.count(SENT):
            crowd.count += found
            now = time.monotonic_ns()
            crowd.last = now
            at = 0
            while (at := data.find(SENT, at)) >= 0:
                at += len(SENT)
                crowd.delays.append(now - int(data[at : data.index(b"}", at)]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.lost += 1


class Crowd:
    """All subscribers of this process."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.transports: list[asyncio.Transport] = []
        self.reset()

    def reset(self) -> None:
        self.count = self.frames = self.lost = self.last = 0
        self.used, self.since = time.process_time(), time.monotonic()
        self.delays: list[int] = []

    def joined(self) -> None:
        self.waiting -= 1
        if not self.waiting:
            self.all_joined.set()

    async def join(self, transport: str, count: int, channel: str = "bench", after: str = "") -> None:
        """Open connections, some at a time, and wait until each was answered; a long poll is not until something comes."""
        loop = asyncio.get_running_loop()
        request = HEADS[transport].format(channel=channel, after=after).encode()
        self.waiting, self.all_joined = count, asyncio.Event()
        for start in range(0, count, 100):
            await asyncio.gather(
                *(
                    loop.create_connection(lambda: Subscriber(self, request), "127.0.0.1", self.port)
                    for _ in range(start, min(start + 100, count))
                )
            )
            await asyncio.sleep(0.005)
        if transport != "poll":
            await asyncio.wait_for(self.all_joined.wait(), 60)

    def report(self) -> dict[str, Any]:
        """What has come since the last reset; milliseconds."""
        delays = sorted(self.delays)
        quantiles = {f"p{q}": delays[len(delays) * q // 100] / 1e6 for q in (50, 99)} if delays else {}
        busy = (time.process_time() - self.used) / (time.monotonic() - self.since)
        told = {"count": self.count, "frames": self.frames, "lost": self.lost, "last": self.last / 1e9, "busy": busy}
        return told | quantiles


async def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd(int(sys.argv[1]))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        order = json.loads(line)
        answer: dict[str, Any] = {}
        match order.pop("do"):
            case "join":
                await crowd.join(**order)
            case "reset":
                crowd.reset()
            case "report":
                answer = crowd.report()
        print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    uvloop.run(main())
