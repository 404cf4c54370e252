"""Load on a server: as many requests as it can answer, or so many a second; every answer is compared, byte by byte.

A program in Python, because it needs no installation, compares answers, and sends by a timetable, which wrk cannot.
Like wrk's, its time is that of the system calls: `make bench ONLY=client` compares the two.
"""

import gc
import selectors
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

PATIENCE = 10.0  # seconds without an answer until a server counts as dead
WARM_UP = 0.2  # of the measured seconds, before them


class Dead(Exception):
    """The server refuses connections, or does not answer."""


class Wrong(Exception):
    """The server's answer is not the one that was agreed."""


@dataclass(frozen=True)
class Exchange:
    """A request as bytes, and the body that its answer must have, with status 200."""

    request: bytes
    body: bytes


@dataclass
class Load:
    """What was measured: answers a second, all answers, and with a timetable the seconds from when each was due."""

    rate: float
    answers: int
    latencies: list[float] = field(default_factory=list)
    lost: int = 0  # requests on connections that were closed without a byte of an answer

    def percentile(self, percent: float) -> float:
        """Seconds within which so many percent of the requests were answered."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


@dataclass(slots=True)
class Connection:
    """A connection, and what has come of the answer to the request that was sent on it."""

    socket: socket.socket
    received: bytes = b""
    due: float = 0.0


def body_of(answer: bytes) -> bytes | None:
    """The body of a whole HTTP/1.1 answer; None if more must come."""
    head, blank, body = answer.partition(b"\r\n\r\n")
    if not blank:
        return None
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
    if b"content-length" in fields:
        return body if len(body) >= int(fields[b"content-length"]) else None
    if not body.endswith(b"0\r\n\r\n"):
        return None
    whole = b""
    while True:
        size, _, rest = body.partition(b"\r\n")
        if not (length := int(size, 16)):
            return whole
        whole, body = whole + rest[:length], rest[length + 2 :]


class Client:
    """Connections to one server, on each of which one request is on its way at a time."""

    def __init__(self, port: int, exchange: Exchange, connections: int) -> None:
        self.port = port
        self.exchange = exchange
        self.selector = selectors.DefaultSelector()
        self.lost = 0
        self.connections: list[Connection] = []
        try:
            for _ in range(connections):
                self.connections.append(self.open())
        except BaseException:
            self.close()
            raise

    def open(self) -> Connection:
        try:
            connected = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        except OSError as error:
            raise Dead(f"it refuses connections: {error}") from None
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setblocking(False)
        connection = Connection(connected)
        self.selector.register(connected, selectors.EVENT_READ, connection)
        return connection

    def close(self) -> None:
        for connection in self.connections:
            connection.socket.close()
        self.selector.close()

    def reopen(self, connection: Connection) -> None:
        """A new connection in the place of one that the server has closed."""
        self.selector.unregister(connection.socket)
        connection.socket.close()
        new = self.open()
        connection.socket, connection.received = new.socket, b""
        self.selector.modify(new.socket, selectors.EVENT_READ, connection)

    def send(self, connection: Connection) -> None:
        try:
            connection.socket.send(self.exchange.request)
        except OSError:
            self.again(connection)

    def again(self, connection: Connection) -> None:
        """Send what was not answered on a new connection."""
        self.lost += 1
        self.reopen(connection)
        try:
            connection.socket.send(self.exchange.request)
        except OSError as error:
            raise Dead(f"it closes connections: {error}") from None

    def finish(self) -> int:
        """Let the server answer what it has, so many; otherwise it would do so in the turn of the next one."""
        deadline = perf_counter() + PATIENCE
        count = 0
        while any(connection.due for connection in self.connections):
            for connection in self.answered(0.1):
                connection.due = 0.0
                count += 1
            if perf_counter() > deadline:
                raise Dead(f"it has not answered for {PATIENCE:.0f} s")
        return count

    def answered(self, timeout: float) -> Iterator[Connection]:
        """The connections on which a whole answer has come, each checked."""
        for key, _ in self.selector.select(timeout):
            connection: Connection = key.data
            try:
                data = connection.socket.recv(262144)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                if connection.received:
                    raise Dead(f"it broke off within an answer: {connection.received[:200]!r}")
                if connection.due:
                    self.again(connection)
                else:
                    self.reopen(connection)
                continue
            answer = connection.received + data
            body = answer[answer.find(b"\r\n\r\n") + 4 :]  # the answers with a length, which are most, in one look
            if body != self.exchange.body:
                body_or_none = body_of(answer)
                if body_or_none is None:
                    connection.received = answer
                    continue
                body = body_or_none
            if body != self.exchange.body or not answer.startswith(b"HTTP/1.1 200"):
                raise Wrong(f"it answered {answer[:300]!r}")
            connection.received = b""
            yield connection


@contextmanager
def client(port: int, exchange: Exchange, connections: int) -> Iterator[Client]:
    """A client, without the garbage collector's pauses."""
    gc.collect()
    gc.disable()
    try:
        one = Client(port, exchange, connections)
        try:
            yield one
        finally:
            one.close()
    finally:
        gc.enable()


def saturate(port: int, exchange: Exchange, connections: int, seconds: float) -> Load:
    """The most that the server answers: each connection asks again as soon as it has been answered."""
    with client(port, exchange, connections) as one:
        now = perf_counter()
        for connection in one.connections:
            connection.due = now
            one.send(connection)
        start, last, count, early = now + seconds * WARM_UP, now, 0, 0
        end = start + seconds
        while now < end:
            for connection in one.answered(0.1):
                count += 1
                early += now < start
                last = now
                one.send(connection)
            now = perf_counter()
            if now - last > PATIENCE:
                raise Dead(f"it has not answered for {PATIENCE:.0f} s")
        return Load((count - early) / (now - start), count + one.finish(), lost=one.lost)


def at_rate(port: int, exchange: Exchange, connections: int, seconds: float, rate: float) -> Load:
    """So many requests a second, by a timetable that does not wait for the server.

    A request's time begins when it is due, also if no connection is free then: a stall counts for all that it delays
    (no "coordinated omission").
    """
    with client(port, exchange, connections) as one:
        free = deque(one.connections)
        latencies: list[float] = []
        begin = last = perf_counter()
        total, sent, warm = int(rate * seconds * (1 + WARM_UP)), 0, begin + seconds * WARM_UP
        while len(free) < connections or sent < total:
            now = perf_counter()
            while free and sent < total and begin + sent / rate <= now:
                connection = free.popleft()
                connection.due = begin + sent / rate
                sent += 1
                one.send(connection)
            for connection in one.answered(0):  # it never sleeps: this core is its own
                last = perf_counter()
                if connection.due >= warm:
                    latencies.append(last - connection.due)
                connection.due = 0.0
                free.append(connection)
            if now - last > PATIENCE:
                raise Dead(f"it has not answered for {PATIENCE:.0f} s")
        return Load(len(latencies) / seconds, total, latencies, one.lost)
