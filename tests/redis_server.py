"""A real Redis on a free port, which may be killed, started again and emptied."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from .service import eventually, free_port

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
needs_redis = pytest.mark.skipif(not PROGRAM, reason="redis-server is not installed")


class RedisServer:
    """Each write is on the disk before it is answered, so that nothing that was accepted is lost; or only what was saved."""

    def __init__(self, folder: Path, keeps_all: bool = True) -> None:
        self.folder = folder
        self.keeps_all = keeps_all
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "appendonly": "yes" if self.keeps_all else "no",
        }
        options |= {"appendfsync": "always", "save": "", "logfile": "log"}
        assert PROGRAM
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self.process = subprocess.Popen([PROGRAM, *words])
        with self.client() as client:
            eventually(lambda: answers(client), message=lambda: (self.folder / "log").read_text())

    def client(self) -> redis.Redis:
        """To ask it, or to change it under a service."""
        return redis.Redis(port=self.port, decode_responses=True)

    def kill(self) -> None:
        """As when the power fails."""
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def empty(self) -> None:
        """Remove what it has kept."""
        shutil.rmtree(self.folder)


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def redis_server(folder: Path, keeps_all: bool = True, port: int | None = None) -> Iterator[RedisServer]:
    """It, running."""
    server = RedisServer(folder, keeps_all)
    server.port = port or server.port
    server.start()
    try:
        yield server
    finally:
        server.kill()
