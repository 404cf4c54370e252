"""The three endpoints as they are added to the service, after the last line of its `main.py`."""

ENDPOINTS = """
import asyncio
from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse


@app.get("/quick")
async def quick() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/poll")
async def poll(seconds: float) -> dict[str, list[str]]:
    try:
        async with draining.timeout(seconds):
            await asyncio.Event().wait()  # a message that does not come
    except TimeoutError:
        pass
    return {"messages": []}


@app.get("/stream")
async def stream(ticks: int, pause: float) -> StreamingResponse:
    return StreamingResponse(lines(ticks, pause), media_type="text/plain")


async def lines(ticks: int, pause: float) -> AsyncIterator[bytes]:
    for number in range(ticks):
        if number:
            await asyncio.sleep(pause)
        yield b"%d\\n" % number
"""
