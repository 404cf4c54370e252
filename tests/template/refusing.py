"""Endpoints to be refused at, small limits, and what comes back on a connection of its own."""

import socket

from ..service import Service

SLOW = (
    "import asyncio\nfrom fastapi import Request, WebSocket\nfrom fastapi.responses import StreamingResponse\n"
    "@app.get('/slow')\nasync def slow() -> str:\n    await asyncio.sleep(2)\n    return 'done'\n"
    "@app.post('/length')\nasync def length(request: Request) -> int:\n    return len(await request.body())\n"
    "@app.post('/waits')\nasync def waits(request: Request) -> str:\n    print('waits began', flush=True)\n"
    "    await request.body()\n    return f'{request.receive.__qualname__} {request.scope.get(\"extensions\")}'\n"
    "@app.post('/later')\nasync def later(request: Request) -> None:\n"
    "    await request.body()\n    await asyncio.sleep(0.001)\n"
    "@app.post('/back')\nasync def back(request: Request) -> StreamingResponse:\n    return StreamingResponse(request.stream())\n"
    "@app.get('/header')\n@app.post('/header')\nasync def header(request: Request) -> str:\n"
    "    await request.body()\n    return ' '.join(request.headers.getlist('x-folded'))\n"
    "@app.get('/crash')\nasync def crash() -> None:\n    raise RuntimeError('by the test')\n"
    "async def pieces():\n    while True:\n        yield 'piece'\n        await asyncio.sleep(0.1)\n"
    "@app.get('/endless')\nasync def endless() -> StreamingResponse:\n    return StreamingResponse(pieces())\n"
    "@app.get('/count')\nasync def count(number: int) -> int:\n    return number\n"
    "@app.websocket('/socket')\nasync def open(websocket: WebSocket) -> None:\n    await websocket.accept()\n"
)
SETTINGS = {
    "HOST": "127.0.0.1",
    "WEB_CONCURRENCY": "1",
    "MAX_CONCURRENCY": "5",
    "MAX_BODY_BYTES": "1000",
    "ALLOWED_HOSTS": "127.0.0.1,api.example.com,*.wild.example.com,[::1]",
    "CORS_ORIGINS": "https://app.example.com",
    "HSTS_SECONDS": "60",
}


def exchange(service: Service, request: bytes) -> bytes:
    """All that comes on one connection until it is closed."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except ConnectionResetError:
            pass
    assert service.get("/health/live").status_code == 200  # the next client is served
    return answer


def statuses(service: Service, request: bytes) -> list[int]:
    """The statuses of all the answers on one connection until it is closed; none if it is closed without."""
    lines = [line for line in exchange(service, request).split(b"\r\n") if line.startswith(b"HTTP/1.")]
    return [int(line.split()[1]) for line in lines]
