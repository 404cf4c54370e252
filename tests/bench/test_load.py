"""The client: it counts right answers, finds wrong ones, and a request's time begins when it is due."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from bench.load import Dead, Exchange, Wrong, at_rate, body_of, saturate

HELLO = Exchange(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"hello")
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"


@contextmanager
def server(answer: Callable[[int], list[bytes]]) -> Iterator[int]:
    """Answers each connection's requests one after the other: with the parts for the request of that number, b"" closes."""
    number = 0

    def serve(connection: socket.socket) -> None:
        nonlocal number
        with connection, suppress(OSError):  # the client is gone
            while connection.recv(65536):
                number += 1
                for part in answer(number):
                    if not part:
                        return
                    connection.sendall(part)

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("answer", [ANSWER, CHUNKED])
def test_an_answer_is_whole_only_with_its_last_byte(answer: bytes) -> None:
    assert body_of(answer) == b"hello"
    assert not any(body_of(answer[:length]) for length in range(len(answer)))


@pytest.mark.parametrize("parts", [[ANSWER], [ANSWER[:20], ANSWER[20:]], [CHUNKED], [ANSWER, b""]], ids=str)
def test_right_answers_are_counted_however_they_come(parts: list[bytes]) -> None:
    asked = 0

    def answer(number: int) -> list[bytes]:
        nonlocal asked
        asked = number
        return parts

    with server(answer) as port:
        result = saturate(port, HELLO, 2, 0.2)
    assert 0 < result.answers <= asked <= result.answers + 4  # what is on its way at the end is not counted
    assert result.rate == pytest.approx(result.answers / 0.24, rel=0.9)


@pytest.mark.parametrize(
    "wrong",
    [ANSWER.replace(b"hello", b"world"), CHUNKED.replace(b"he\r", b"ha\r"), ANSWER.replace(b"200", b"503")],
    ids=["body", "chunk", "status"],
)
def test_a_single_wrong_answer_is_found(wrong: bytes) -> None:
    with server(lambda number: [wrong if number == 20 else ANSWER]) as port, pytest.raises(Wrong):
        saturate(port, HELLO, 2, 5)


def test_requests_that_are_closed_without_an_answer_are_counted() -> None:
    with server(lambda number: [b""] if number in (20, 30) else [ANSWER]) as port:
        assert saturate(port, HELLO, 2, 0.3).lost == 2


def test_the_next_measurement_begins_when_all_is_answered() -> None:
    at_once = threading.Semaphore()  # as a server of one process
    waiting = 0

    def answer(number: int) -> list[bytes]:
        nonlocal waiting
        waiting += 1
        with at_once:
            time.sleep(0.02)
        waiting -= 1
        return [ANSWER]

    with server(answer) as port:
        result = saturate(port, HELLO, 10, 0.3)
        assert waiting == 0
    assert result.answers > result.rate * 0.36


def test_a_server_that_refuses_or_breaks_off_is_dead() -> None:
    with server(lambda number: [ANSWER[:30], b""]) as port, pytest.raises(Dead, match="broke off"):
        saturate(port, HELLO, 1, 5)
    with pytest.raises(Dead, match="refuses"):
        saturate(port, HELLO, 1, 5)


def test_a_server_that_no_longer_answers_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.load.PATIENCE", 0.5)
    with server(lambda number: [ANSWER] if number < 20 else []) as port:
        with pytest.raises(Dead, match="not answered"):
            saturate(port, HELLO, 2, 30)
        with pytest.raises(Dead, match="not answered"):
            at_rate(port, HELLO, 2, 30, 100)


@pytest.mark.alone
def test_a_stall_counts_for_every_request_that_it_delays() -> None:
    def answer(number: int) -> list[bytes]:
        if number == 50:
            time.sleep(0.4)  # the stall
        return [ANSWER]

    with server(answer) as port:
        result = at_rate(port, HELLO, 1, 1.0, 100)  # one request every 10 ms, so 40 are due during the stall
    assert result.rate == pytest.approx(100, abs=2)
    assert sum(latency > 0.04 for latency in result.latencies) >= 30
    assert 0.3 < result.percentile(99) < 5
