"""WebSockets: the protocol by Autobahn's cases, how one ends, the size of a message, compression and what it costs."""

import os
import socket
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from ..promises import promise
from ..service import BIN, Service, clean_environment, eventually, write_service
from .processes import workers

pytestmark = pytest.mark.slow

ECHO = """
import asyncio
import time
from pathlib import Path

from starlette.websockets import WebSocket, WebSocketDisconnect


@app.websocket("/mirror")
async def mirror(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while (message := await websocket.receive())["type"] == "websocket.receive":
            await websocket.send(message | {"type": "websocket.send"})
    except WebSocketDisconnect:
        pass


sending = []


@app.get("/sending")
async def how_many_send() -> int:
    return len(sending)


@app.websocket("/clock")
async def clock(websocket: WebSocket) -> None:
    await websocket.accept()
    sending.append(websocket)
    try:
        while True:
            await websocket.send_text("tick")
            await asyncio.sleep(0.05)
    except WebSocketDisconnect:
        pass
    finally:
        sending.remove(websocket)


@app.websocket("/short")
async def short(websocket: WebSocket, accept: bool, mistake: bool) -> None:
    if accept:
        await websocket.accept()
    if mistake:
        raise RuntimeError("the endpoint's mistake")


@app.websocket("/reader")
async def reader(websocket: WebSocket) -> None:
    await websocket.accept()
    reading = asyncio.create_task(websocket.receive())
    await asyncio.sleep(0.1)
    await websocket.close(4001)
    assert (await reading)["type"] == "websocket.disconnect"


@app.websocket("/deaf")
async def deaf(websocket: WebSocket) -> None:
    await websocket.accept()
    await asyncio.sleep(60)


@app.get("/wait")
async def wait() -> str:
    await asyncio.sleep(0.5)
    return "waited"


@app.get("/block")
async def block() -> str:
    Path("begun").touch()
    while not Path("sent").exists():
        time.sleep(0.01)
    return "blocked"
"""
HANDSHAKE = (
    "GET /mirror HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
LIMIT = 100_000
SETTINGS = {"HOST": "127.0.0.1", "WEB_CONCURRENCY": "1", "MAX_MESSAGE_BYTES": str(LIMIT)}
MANY = 500
Record = Callable[[str, object], None]


def write(folder: Path, choices: dict[str, str]) -> Service:
    service = write_service(folder, **choices)
    service.edit("main.py", "app.include_router(loans)", "app.include_router(loans)\n" + ECHO)
    return service


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with an echo, without compression."""
    with write(tmp_path_factory.mktemp("websocket") / "service", request.param).started("run", **SETTINGS) as service:
        yield service


@pytest.fixture(scope="module")
def compressing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The same with compression."""
    service = write(tmp_path_factory.mktemp("compressing") / "service", request.param)
    with service.started("run", **SETTINGS, WEBSOCKET_COMPRESSION="true"):
        yield service


def address(service: Service, path: str = "/mirror") -> str:
    return f"ws://127.0.0.1:{service.port}{path}"


@promise("WebSocket", fixture="running")
def test_all_of_autobahns_cases_pass(running: Service, tmp_path: Path, record_property: Record) -> None:
    left_out = [f"--exclude={number}.*" for number in (9, 12, 13)]  # speed, and compression
    result = subprocess.run(
        [BIN / "kosoku", *left_out, f"--outdir={tmp_path}", address(running).removeprefix("ws://")],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    *_, line = (result.stdout + result.stderr).splitlines()
    record_property("figure", f"Autobahn: {line}")
    assert (result.returncode, line) == (0, "247 cases passed"), result.stdout + result.stderr


@pytest.mark.parametrize("unread", [0, 3])
@promise("WebSocket", fixture="running")
def test_an_endpoint_that_only_sends_ends_when_its_client_has_left(running: Service, unread: int) -> None:
    for _ in range(3):
        with connect(address(running, "/clock"), compression=None) as websocket:
            assert websocket.recv(5) == "tick"
            for _ in range(unread):
                websocket.send("are you there?")
            websocket.socket.shutdown(socket.SHUT_RDWR)
    eventually(lambda: running.get("/sending").json() == 0, 10)


@promise("WebSocket", fixture="running")
def test_a_client_that_closes_is_answered_by_an_endpoint_that_only_sends(running: Service) -> None:
    with connect(address(running, "/clock"), compression=None, close_timeout=5) as websocket:
        assert websocket.recv(5) == "tick"
        websocket.close(4001)
    assert websocket.close_code == 4001
    eventually(lambda: running.get("/sending").json() == 0, 10)


@promise("WebSocket", fixture="running")
def test_an_endpoint_may_close_while_it_reads(running: Service) -> None:
    with connect(address(running, "/reader"), compression=None) as websocket, pytest.raises(ConnectionClosed) as closed:
        websocket.recv(5)
    assert closed.value.rcvd and closed.value.rcvd.code == 4001


@promise("WebSocket", fixture="running")
def test_one_that_the_endpoint_leaves_open_is_closed(running: Service) -> None:
    for mistake, code in (("false", 1000), ("true", 1011)):
        path = f"/short?mistake={mistake}&accept="
        with (
            connect(address(running, f"{path}true"), compression=None) as websocket,
            pytest.raises(ConnectionClosed) as closed,
        ):
            websocket.recv(5)
        assert closed.value.rcvd and closed.value.rcvd.code == code
        with pytest.raises(InvalidStatus) as refused:
            connect(address(running, f"{path}false"))
        assert refused.value.response.status_code == 500
    assert "the endpoint's mistake" in running.log


@pytest.mark.parametrize("running", [{"server": "granian"}], ids=["granian"], indirect=True, scope="module")
def test_what_the_endpoint_does_not_read_is_not_taken_in(running: Service) -> None:
    with connect(address(running, "/deaf"), compression=None) as websocket:
        websocket.socket.settimeout(1)
        with pytest.raises(ConnectionClosed) as full:
            for _ in range(1000):
                websocket.send(b"x" * LIMIT)
    assert isinstance(full.value.__cause__, TimeoutError)


@promise("WebSocket", fixture="running")
def test_a_message_over_the_limit_is_refused_with_1009(running: Service) -> None:
    for message in (b"x" * LIMIT, "x" * LIMIT):
        with connect(address(running), compression=None) as websocket:
            websocket.send(message)
            assert websocket.recv() == message
    half = b"x" * (LIMIT // 2 + 1)
    for too_much in (b"x" * (LIMIT + 1), "x" * (LIMIT + 1), [half, half]):
        with (
            connect(address(running), compression=None) as websocket,
            pytest.raises(ConnectionClosed) as closed,
        ):
            websocket.send(too_much)
            websocket.recv()
        assert closed.value.rcvd and closed.value.rcvd.code == 1009
    assert running.get().status_code == 200


@promise(
    "WebSocket",
    fixture="running",
    hypercorn="compresses whenever the client asks, with no setting; have the proxy drop Sec-WebSocket-Extensions",
)
def test_nothing_is_compressed_by_default(running: Service, record_property: Record) -> None:
    record_property("figure", f"{kilobytes(running, compressed=False):.0f} KB a WebSocket")
    with connect(address(running), compression="deflate") as websocket:
        assert websocket.response and "sec-websocket-extensions" not in websocket.response.headers


@promise("WebSocket", fixture="compressing", granian="no compression; have the application compress what is worth it")
def test_a_setting_turns_compression_on(compressing: Service, record_property: Record) -> None:
    with connect(address(compressing), compression="deflate") as websocket:
        assert websocket.response and "permessage-deflate" in websocket.response.headers["sec-websocket-extensions"]
        websocket.send("x" * 50_000)
        assert websocket.recv() == "x" * 50_000
    record_property("figure", f"{kilobytes(compressing, compressed=True):.0f} KB a WebSocket with compression")


@pytest.mark.parametrize("together", [True, False], ids=["in one piece", "apart"])
@promise("WebSocket", fixture="running")
def test_a_handshake_behind_another_request_comes_after_its_answer(running: Service, together: bool) -> None:
    asked = [b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n", f"{HANDSHAKE}\r\n".encode()]
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in [b"".join(asked)] if together else asked:
            connection.sendall(piece)
        answer = b""
        while b" 101 " not in answer and (more := connection.recv(4096)):  # or it is closed: the client asks again
            answer += more
    first, _, rest = answer.partition(b'"waited"')
    assert first.startswith(b"HTTP/1.1 200 ") and (not rest or rest.startswith(b"HTTP/1.1 101 ")), answer


@promise("WebSocket", fixture="running")
def test_a_bad_handshake_is_not_answered_before_the_request_in_front_of_it(running: Service) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(b"GET /block HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually((running.folder / "begun").exists)
        connection.sendall(
            HANDSHAKE.replace("Version: 13", "Version: 8").encode() + b"\r\n"
        )  # read when it is answered
        (running.folder / "sent").touch()
        answer = b""
        while b'"blocked"' not in answer and (more := connection.recv(4096)):
            answer += more
    assert answer.startswith(b"HTTP/1.1 200 ") and b'"blocked"' in answer, answer


def kilobytes(service: Service, compressed: bool) -> float:
    """The memory that a worker needs for an idle WebSocket on which a message went to and fro."""
    (worker,) = workers(service)
    with ExitStack() as open_ones:
        for _ in range(50):  # what all share is there after the first
            open_ones.enter_context(exchange(service, compressed))
        before = memory(worker)
        for _ in range(MANY):
            open_ones.enter_context(exchange(service, compressed))
        return (memory(worker) - before) / MANY


def memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def exchange(service: Service, compressed: bool) -> socket.socket:
    """A WebSocket on which a message went to and fro; without a library, which would need more than the server."""
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=10)
    extensions = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if compressed else ""
    connection.sendall(f"{HANDSHAKE}{extensions}\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(4096)
    assert (b"permessage-deflate" in answer) is compressed
    payload = os.urandom(50).hex().encode()
    if compressed:
        deflate = zlib.compressobj(wbits=-15)
        payload = (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    first = 0xC1 if compressed else 0x81
    connection.sendall(struct.pack("!BB", first, 0x80 | len(payload)) + bytes(4) + payload)  # masked with zeroes
    assert connection.recv(4096)[0] == first
    return connection
