"""Behind a real nginx and a real Caddy; and nobody else is believed."""

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx2
import pytest
from websockets.sync.client import connect

from ..promises import promise
from ..service import Service, clean_environment, eventually, free_port, write_service
from .fronts import ELSEWHERE, FORGED, LARGE, ROUTES, caddy, client, greeting, logged_client, nginx, redirected

pytestmark = pytest.mark.slow


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
        assert (refused.status_code, refused.text) == (400, "this service has no such host")


@promise("Proxies", fixture="behind")
def test_ports_are_numbers(behind: Behind) -> None:
    """As ASGI says, and `serving.proxies` tells by them which socket a connection came over."""
    with client(behind.service.url) as asking:
        local, remote = asking.get("/ports").json()
    assert local == behind.service.port
    assert isinstance(remote, int)


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
    with socket.create_connection(("127.0.0.1", behind.service.port), timeout=10) as connection:
        connection.sendall(b"GET /where HTTP/1.0\r\nX-Forwarded-Host: api.example.com\r\n\r\n")
        assert b'["http://api.example.com/where"' in connection.makefile("rb").read()


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
    # The connection with its 413, while the proxy may still be sending.
    closes = (behind.service.folder / "serving/hypercorn.py").exists()
    with client(behind.proxies[proxy]) as asking, client(behind.service.url) as beside:

        def body() -> Iterator[bytes]:
            yield b"x" * 1024
            eventually(lambda: beside.get("/received").json() == 1024)  # the service has it before the rest is sent
            for _ in range(LARGE // 1024 - 1):
                yield b"x" * 1024

        assert asking.post("/upload", content=body()).json() == LARGE
        assert asking.post("/upload", content=b"x" * LARGE).json() == LARGE
        assert len(asking.get("/download").content) == LARGE
        for _ in range(1 if closes else 10):
            try:
                refused = asking.post("/upload", content=b"x" * (LARGE + 1)).status_code
            except httpx2.RemoteProtocolError:
                refused = 502
            assert refused == 413 or (refused, proxy, closes) == (502, "caddy", True)


@through_both
@promise("Proxies", fixture="behind")
def test_what_a_client_does_not_read_no_proxy_stores(behind: Behind, proxy: str) -> None:
    with (
        client(behind.proxies[proxy]) as asking,
        client(behind.service.url) as beside,
        asking.stream("GET", "/flood") as stream,
    ):
        seen: list[int] = []

        def stands_still() -> bool:
            seen.append(beside.get("/received").json())
            return len(seen) > 50 and len(set(seen[-50:])) == 1

        eventually(stands_still)
        assert seen[-1] < 60  # megabytes; the rest is on its way, in the buffers of the system
        assert sum(map(len, stream.iter_raw())) == 64 * 1024 * 1024


@pytest.fixture(scope="module")
def below(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with every option, below the path /api, on an IPv6 socket."""
    folder = tmp_path_factory.mktemp("below")
    service = write_service(folder / "service", telemetry="full", realtime="full", **request.param)
    service.edit("main.py", "app.include_router(loans)", ROUTES)
    settings = {
        "ENVIRONMENT": "development",  # with documentation
        "HOST": "::ffff:127.0.0.1",
        "ROOT_PATH": "/api",
        "ALLOWED_HOSTS": "127.0.0.1,api.example.com",
        "TRUSTED_PROXIES": "127.0.0.0/29",
        "MAX_CONCURRENCY": "5",
    }
    with service.started("run", **settings):
        yield service


@promise("Proxies", fixture="below")
def test_an_ipv4_proxy_is_trusted_on_an_ipv6_socket_too(below: Service) -> None:
    with client(below.url, "127.0.0.1") as proxy, client(below.url) as stranger:
        assert proxy.get("/where", headers=FORGED).json()[2] == "203.0.113.7"
        assert stranger.get("/where", headers=FORGED).json()[2] == ELSEWHERE


@pytest.mark.parametrize("prefix", ["", "/api"], ids=["stripped", "kept"])
@promise("Proxies", fixture="below")
def test_below_a_path_a_proxy_may_strip_or_keep_it(below: Service, prefix: str) -> None:
    outside = "https://api.example.com/api"
    with client(below.url + prefix, "127.0.0.1") as proxy:
        proxy.headers.update(FORGED)
        assert proxy.get("/where").json()[:2] == [f"{outside}/where", f"{outside}/slash/"]
        assert redirected(proxy) == f"{outside}/slash/"
        assert greeting(below.url + prefix, "127.0.0.1", FORGED)[0] == "wss://api.example.com/api/echo"
        assert "url: '/api/openapi.json'" in proxy.get("/docs").text
        assert proxy.get("/openapi.json").json()["servers"] == [{"url": "/api"}]
        assert proxy.get("/apiary").status_code == 404
        page = proxy.get("/channels/page", follow_redirects=False).headers["location"]
        assert page == "page/" and "<title>Channels" in proxy.get("/channels/page/").text
        last = proxy.get("/channels/orders/poll").json()["id"]
        sent = proxy.post("/channels/orders", json=1).json()["id"]
        socket = f"{below.url}{prefix}/channels/orders/socket?after={last}".replace("http", "ws", 1)
        with connect(socket, proxy=None) as websocket:
            assert json.loads(websocket.recv(5)) == {"id": sent, "data": 1}
        with ExitStack() as stack:
            streams = [stack.enter_context(proxy.stream("GET", "/lines")) for _ in range(5)]
            assert [stream.status_code for stream in streams] == [200] * 5
            assert proxy.get("/where").status_code == 503
            for path in ("/health/live", "/health/ready"):
                assert proxy.get(path, headers={"X-Forwarded-Host": "10.0.0.1"}).status_code == 200
    metrics = httpx2.get(f"http://127.0.0.1:{below.metrics_port}/metrics").text
    routes = set(re.findall(r'http_requests_total{.*route="([^"]+)"', metrics))
    assert {"/where", "/echo", "/channels/page", "/channels/{channel}", "/channels/{channel}/socket"} < routes
    assert not [route for route in routes if route.startswith("/api")]
    eventually(lambda: {"/api/where", "/api/apiary", "/api/echo"} < logged(below))
    assert all(path.startswith("/api/") for path in logged(below))


def logged(service: Service) -> set[str]:
    """The paths in the access log of development."""
    return set(re.findall(r"(?:GET|POST|WEBSOCKET) (/\S*) \d+ ", service.log))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("TRUSTED_PROXIES", value) for value in ("*", "10.0.0.1,proxy", "10.0.0.1/8", "10.0.0.0/8,,")),
        *(("ROOT_PATH", value) for value in ("api", "/api/", "/a b")),
    ],
)
def test_what_is_no_address_or_path_stops_the_start_with_one_line(service: Service, name: str, value: str) -> None:
    result = subprocess.run(
        [".venv/bin/python", "-c", "from serving.settings import ServingSettings, load; load(ServingSettings)"],
        cwd=service.folder,
        env=clean_environment() | {name: value},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 3
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{name}: "), line
