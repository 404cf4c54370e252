"""Endpoints that the tests add to a service, to see what a server does to them."""

from ..service import Service

ENDPOINTS = """
import asyncio
import os
import time
from collections.abc import AsyncIterator
from fastapi import WebSocket, WebSocketDisconnect
from fastapi.sse import EventSourceResponse


@app.get("/pid")
async def pid() -> int:
    return os.getpid()


@app.get("/slow")
async def slow(seconds: float) -> str:
    print("slow began", flush=True)
    await asyncio.sleep(seconds)
    return "done"


@app.get("/block")
async def block(seconds: float) -> str:
    print("block began", flush=True)
    time.sleep(seconds)
    return "done"


@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterator[int]:
    yield 1
    try:
        await asyncio.sleep(60)
    finally:
        print("events ended")


@app.get("/poll")
async def poll() -> str:
    print("poll began", flush=True)
    try:
        async with draining.timeout(60):
            await asyncio.sleep(60)
    except TimeoutError:
        pass
    return "nothing new"


@app.get("/late")
async def late() -> str:
    try:
        async with draining.timeout(0.1):
            try:
                await asyncio.sleep(60)
            finally:
                print("late began", flush=True)
                await asyncio.sleep(1)
    except TimeoutError:
        pass
    return "late"


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect as gone:
        print("left with", gone.code)


@app.websocket("/ticks")
async def ticks(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("tick")
    try:
        await asyncio.sleep(60)
    finally:
        print("ticks ended")


@app.websocket("/push")
async def push(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        await websocket.send_text("news")
        await asyncio.sleep(0.01)
"""


def add_to(service: Service) -> None:
    """Give the service the endpoints."""
    main = service.folder / "main.py"
    main.write_text(main.read_text() + ENDPOINTS)
