"""What every server refuses alike: bad requests, large ones, too many, other hosts."""

import http.client
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from ..promises import SERVERS, promise
from ..service import Service, eventually, write_service
from .processes import workers
from .refusing import SETTINGS, SLOW, exchange, statuses

Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with small limits on each server."""
    service = write_service(tmp_path_factory.mktemp("refusals") / "service", **request.param)
    service.edit("main.py", "app.include_router(loans)", SLOW)
    with service.started("run", **SETTINGS):
        yield service


HOST = b"Connection: close\r\nHost: 127.0.0.1\r\n"


CHUNKED = b"POST /length HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"  # after a request whose end is in doubt; never answered
BAD = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + HOST + b"\r\n", 400),
    "two hosts in HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: evil.example.com\r\n" + HOST + b"\r\n", 400),
    "another host": (b"GET / HTTP/1.1\r\nConnection: close\r\nHost: evil.example.com\r\n\r\n", 400),
    "length and chunked": (b"POST /length HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400),
    "chunked and length": (b"POST /length HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED, 400),
    "two lengths": (b"POST /length HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx" + SMUGGLED, 400),
    "bare LF after a chunk's size": (CHUNKED + b"1\nx\r\n0\r\n\r\n" + SMUGGLED, 400),
    "bare LF after a chunk": (CHUNKED + b"1\r\nx\n0\r\n\r\n" + SMUGGLED, 400),
    "bare LF in a chunk's extension": (CHUNKED + b"1;\nx\r\n0\r\n\r\n" + SMUGGLED, 400),
    "a chunk that breaks off": (CHUNKED + b"5\r\nx", 400),
    "headers over 64 KB": (b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 4000) for n in range(18)) + b"\r\n", 431),
    "target over 8 KB": (b"GET /?" + b"x" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "body over the limit": (b"POST /length HTTP/1.1\r\n" + HOST + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001, 413),
    "chunked body over the limit": (CHUNKED + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", 413),
    "invalid UTF-8 in the path": (b"GET /%ff%fe HTTP/1.1\r\n" + HOST + b"\r\n", 404),
}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(name, id=name.replace("-", " ")) for name in BAD])
@promise("Bad requests", fixture="running")
def test_a_bad_request_is_refused(running: Service, name: str) -> None:
    request, status = BAD[name]
    answered = statuses(running, request)
    if set(name.split()) == {"chunked", "and", "length"} and answered == [200]:
        # RFC 9112, 6.3: a server may also go by Transfer-Encoding alone, as granian does, and close.
        assert "serving.granian" in (running.folder / "Makefile").read_text()
        return
    assert answered in ([status], []) or (answered == [400] and status in (414, 431)), name


@promise("Bad requests", fixture="running")
def test_large_headers_are_refused_behind_another_request_too(running: Service) -> None:
    request, _ = BAD["headers over 64 KB"]
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection, suppress(ConnectionError):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + request)
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
        assert re.findall(rb"HTTP/1.1 (\d+)", answers) in ([b"200"], [b"200", b"431"], [b"200", b"400"])


ENDLESS = {
    "headers": (b"GET / HTTP/1.1\r\n" + HOST, b"X-More: " + b"x" * 4000 + b"\r\n"),
    "one header": (b"GET / HTTP/1.1\r\n" + HOST + b"X-More: ", b"x" * 4000),
    "target": (b"GET /", b"x" * 4000),
    "trailers": (CHUNKED + b"1\r\nx\r\n0\r\n", b"X-More: " + b"x" * 4000 + b"\r\n"),
    "chunk extension": (CHUNKED + b"1;", b"x" * 4000),
}


@pytest.mark.parametrize("endless", [pytest.param(name, id=name.replace("-", " ")) for name in ENDLESS])
@promise("Bad requests", fixture="running")
def test_what_never_ends_is_cut_off_and_not_kept(running: Service, endless: str) -> None:
    begin, more = ENDLESS[endless]
    most = 16 << 20  # bytes, of which what waits in the sockets is a part
    sent = 0
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection, suppress(ConnectionError):
        connection.sendall(begin)
        while sent < most:
            connection.sendall(more * 16)
            sent += len(more) * 16
    assert sent < most, "the server took it all"
    assert running.get("/health/live").status_code == 200


@pytest.mark.parametrize("rest", [b"no chunk\r\n", b"0\r\n" + b"X-More: x\r\n" * 10_000], ids=["chunk", "trailers"])
@promise("Bad requests", fixture="running")
def test_what_is_wrong_with_the_rest_of_an_answered_request_gets_no_second_answer(
    running: Service, rest: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(CHUNKED.replace(b"/length", b"/nothing"))
        answer = connection.recv(65536)
        with suppress(ConnectionError):
            connection.sendall(rest)
            while more := connection.recv(65536):
                answer += more
    assert answer.startswith(b"HTTP/1.1 404 ") and answer.count(b"HTTP/1.1 ") == 1, answer


@promise(
    "Bad requests",
    fixture="running",
    granian="500 for an invalid chunk if the endpoint streams the request body back; read the whole body first",
)
def test_a_chunk_that_is_none_is_refused_where_the_body_is_streamed_back_too(running: Service) -> None:
    assert statuses(running, CHUNKED.replace(b"/length", b"/back") + b"no chunk\r\n") in ([400], [])


@promise("Bad requests", fixture="running")
def test_a_trailer_is_no_header(running: Service) -> None:
    """RFC 9110, 6.5.1. A proxy may pass on in a trailer what it would not let through in a header."""
    trailers = b"X-Folded: late\r\nHost: evil.example.com\r\nX-Request-ID: 0123456789abcdef\r\n\r\n"
    begin = b"POST /header HTTP/1.1\r\n" + HOST + b"X-Folded: early\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(begin + b"1\r\nx\r\n0\r\n" + trailers)
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b'"early"'), answer
    assert b"0123456789abcdef" not in answer


@promise("Bad requests", fixture="running")
def test_a_folded_header_is_refused_or_joined(running: Service) -> None:
    """RFC 9112, 5.2: 400, or spaces in place of the fold."""
    for line_end in (b"\r\n", b"\n"):
        answer = exchange(running, b"GET /header HTTP/1.1\r\n" + HOST + b"X-Folded: one" + line_end + b" two\r\n\r\n")
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ") or answer.endswith(b'"one two"'), answer


@promise("Bad requests", fixture="running")
def test_a_thousand_pipelined_requests_get_a_thousand_answers_in_order(
    running: Service, record_property: Record
) -> None:
    requests = [b"GET /count?number=%d HTTP/1.1\r\nHost: 127.0.0.1\r\n" % number for number in range(1000)]
    begin = time.monotonic()
    with ThreadPoolExecutor() as pool, socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        sending = pool.submit(connection.sendall, b"\r\n".join(requests) + b"Connection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        sending.result()
    record_property("figure", f"1,000 pipelined requests answered in order in {time.monotonic() - begin:.1f} s")
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200"] * 1000
    assert [int(body) for body in re.findall(rb"\r\n\r\n(\d+)", answer)] == list(range(1000))


@pytest.mark.parametrize("size", [0, 30_000])
@promise("Bad requests", fixture="running")
def test_who_sends_far_ahead_of_the_answers_fills_no_memory(running: Service, size: int) -> None:
    (worker,) = workers(running)
    request = b"POST /later HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Large: %s\r\nContent-Length: 0\r\n\r\n" % (b"x" * size)
    before = kilobytes(worker, "VmRSS")
    with ThreadPoolExecutor() as pool, socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:

        def send() -> None:
            with suppress(OSError):  # until the connection is closed, here or there
                while True:
                    connection.sendall(request * (1 + 200_000 // len(request)))

        pool.submit(send)
        answers = 0
        with suppress(ConnectionError):
            while answers < 2000 and (more := connection.recv(65536)):
                answers += more.count(b"HTTP/1.1 200")
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    assert answers > 100
    assert kilobytes(worker, "VmHWM") - before < 20_000


def kilobytes(pid: int, what: str) -> int:
    (line,) = re.findall(rf"^{what}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(line)


@promise("Bad requests", fixture="running")
def test_what_is_no_request_is_not_answered_before_the_request_in_front_of_it(running: Service) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nnothing\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200 ") and b'"done"' in answer, answer


@promise("Bad requests", fixture="running")
def test_an_unknown_method_is_refused(running: Service) -> None:
    for method in (b"BREW", b"DELETE"):
        assert statuses(running, method + b" / HTTP/1.1\r\n" + HOST + b"\r\n") in ([405], [400], [501], [])


@promise("Bad requests", fixture="running")
def test_a_body_at_the_limit_is_taken(running: Service) -> None:
    assert httpx2.post(running.url + "/length", content=b"x" * 1000).json() == 1000


EVERY = [pytest.param({"server": server}, id=server) for server in SERVERS]


@pytest.mark.parametrize("running", EVERY[:2], indirect=True, scope="module")
def test_only_a_body_that_is_still_to_come_is_waited_for(running: Service) -> None:
    head = b"POST /waits HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\n"
    assert exchange(running, head + b"{}").endswith(b"\"Arrived.receive {'complete': {}}\"")
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(head)
        eventually(lambda: running.log.count("waits began") == 2)
        connection.sendall(b"{}")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.endswith(b'receive_in_time None"'), answer


@pytest.mark.parametrize("running", EVERY, indirect=True, scope="module")
def test_who_sends_all_of_a_body_that_nobody_reads_gets_the_answer_and_is_served_on(running: Service) -> None:
    (worker,) = workers(running)
    before = kilobytes(worker, "VmRSS")
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    large = 413, b"the body has more than 1000 bytes"
    unknown = 404, b'{"detail":"Not Found"}'
    chunks = [b"x" * 1_000_000] * 20
    for path, body, expected in (
        ("/length", b"".join(chunks), large),
        ("/length", iter(chunks), large),
        ("/nothing", b"x" * 1000, unknown),
        ("/nothing", iter(chunks), unknown),
    ):
        connection.request("POST", path, body)
        kept = connection.sock
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == expected
        connection.request("GET", "/count?number=7")
        assert connection.getresponse().read() == b"7"
        assert connection.sock is kept
    connection.close()
    assert kilobytes(worker, "VmHWM") - before < 10_000


@pytest.mark.parametrize("path", [b"/nothing", b"/", b"/length"])
@pytest.mark.parametrize("running", EVERY, indirect=True, scope="module")
def test_after_an_answer_to_half_a_request_the_connection_serves_on_or_is_closed_as_announced(
    running: Service, path: bytes
) -> None:
    length, once = (b"1001", 1001) if path == b"/length" else (b"5", 5)
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %s\r\n\r\n" % (path, length))
        answer = connection.recv(65536)
        assert answer.split()[1] in (b"404", b"405", b"413"), answer
        if b"connection: close" in answer.lower():
            return
        for piece in (b"x" * (once - 1), b"x", b"GET /count?number=7 HTTP/1.1\r\n" + HOST + b"\r\n"):
            connection.sendall(piece)
        assert connection.makefile("rb").read().endswith(b"\r\n\r\n7")


@pytest.mark.parametrize("path", [b"/nothing", b"/length"])
@promise("Bad requests", fixture="running")
def test_an_answer_instead_of_100_continue_announces_that_the_connection_is_closed(
    running: Service, path: bytes
) -> None:
    """The client need not send the body any more, and its next request would be taken for it."""
    request = b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n" % path
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(request)
        answer = connection.recv(65536)
        if answer.startswith(b"HTTP/1.1 100 "):
            return
        assert answer.split()[1] in (b"404", b"413") and b"connection: close" in answer.lower(), answer
        assert connection.makefile("rb").read() in (b"", b"Not Found", b"the body has more than 1000 bytes")


@promise("Limits", fixture="running")
def test_too_many_at_once_are_told_when_to_come_back(running: Service) -> None:
    with ThreadPoolExecutor(8) as pool:
        slow = [pool.submit(running.get, "/slow") for _ in range(5)]
        eventually(lambda: running.get("/").status_code == 503, 2)
        refused = running.get("/")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        for path in ("/health/live", "/health/ready"):
            assert running.get(path).status_code == 200
        assert [answer.result().status_code for answer in slow] == [200] * 5
    eventually(lambda: running.get("/").status_code == 200, 2)


@promise("Limits", fixture="running")
def test_who_has_left_takes_no_place_whatever_they_asked_for_after_a_stream(running: Service) -> None:
    asked = b"GET /endless HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for _ in range(6):
        with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
            connection.sendall(asked)
            assert connection.recv(100)
    eventually(lambda: running.get("/").status_code == 200, 5)


@promise("Headers", fixture="running")
def test_every_answer_has_the_security_headers(running: Service) -> None:
    for path in ("/", "/nothing", "/crash", "/?" + "x" * 9000):
        headers = running.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert len(headers["x-request-id"]) == 32
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"] == "frame-ancestors 'none'"
        assert headers["strict-transport-security"] == "max-age=60"


@promise(
    "Headers",
    fixture="running",
    granian="`Server: granian` is always sent, without a version; have the proxy remove it",
)
def test_no_answer_names_the_server(running: Service) -> None:
    for path in ("/", "/nothing"):
        assert not {"server", "x-powered-by"} & set(running.get(path).headers)


NAMED = ["API.Example.com", "api.example.com:8443", "a.b.wild.example.com", "[::1]", "[::1]:8443"]
OTHERS = [
    "wild.example.com",
    "notapi.example.com",
    "api.example.com.evil.example",
    "api.example.com:https",
    "api.example.com@evil.example",
    "[::2]",
]


@promise("Headers", fixture="running")
def test_the_named_hosts_alone_are_served(running: Service) -> None:
    def upgrade(host: str) -> int:
        asked = f"GET /socket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        asked += f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n"
        with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
            connection.sendall(asked.encode())
            return int(connection.recv(65536).split()[1])

    for host in NAMED * 2:
        assert running.get("/", headers={"Host": host}).status_code == 200, host
        assert upgrade(host) == 101, host
    for host in OTHERS * 2:
        assert running.get("/", headers={"Host": host}).status_code == 400, host
        assert upgrade(host) in (400, 403), host
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.recv(100).split()[1] == b"400"


@pytest.mark.parametrize("method", [b"GET", b"HEAD"], ids=["GET", "HEAD"])
@promise("Headers", fixture="running")
def test_a_health_check_may_name_any_host_or_none(running: Service, method: bytes) -> None:
    by_address = b" HTTP/1.1\r\nConnection: close\r\nHost: 10.0.0.1:8000\r\n\r\n"  # as AWS's load balancers do
    for path in (b" /health/live", b" /health/ready"):
        for rest in (by_address, b" HTTP/1.0\r\n\r\n"):  # the second as HAProxy does
            with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
                connection.sendall(method + path + rest)
                answer = connection.makefile("rb").read()
            assert answer.split()[1] == b"200"
            assert answer.endswith(b'\r\n\r\n{"status":"ok"}' if method == b"GET" else b"\r\n\r\n")


@promise("Headers", fixture="running")
def test_pages_of_the_named_origins_alone_may_ask(running: Service) -> None:
    origins = {
        "nobody": {},
        "named": {"Origin": "https://app.example.com"},
        "other": {"Origin": "https://evil.example.com"},
    }
    for who, headers in origins.items():
        answer = running.get("/", headers=headers)
        allowed = "https://app.example.com" if who == "named" else None
        assert answer.headers.get("access-control-allow-origin") == allowed
        assert answer.headers.get_list("vary") == ["Origin"]  # or a cache would give one's answer to the other
    for path, status in ("/crash", 500), ("/?" + "x" * 9000, 414):  # what went wrong, the page may read too
        answer = running.get(path, headers=origins["named"])
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    large = httpx2.post(running.url + "/length", content=b"x" * 2000, headers=origins["named"])
    assert (large.status_code, large.headers["access-control-allow-origin"]) == (413, "https://app.example.com")


@promise("Headers", fixture="running")
def test_the_named_origins_alone_may_ask_what_they_may(running: Service) -> None:
    for origin, status in ("https://app.example.com", 200), ("https://evil.example.com", 400):
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-own"}
        answer = httpx2.options(running.url + "/loans/quote", headers=headers)
        assert answer.status_code == status
        assert answer.headers.get("access-control-allow-origin") == (origin if status == 200 else None)
        assert "Origin" in answer.headers["vary"]
