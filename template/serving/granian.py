"""Starts granian with the settings: `python -m serving.granian [--reload]`."""

import os
import resource
import signal
import socket
import sys
from types import FrameType

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.net import SocketHolder  # type: ignore[attr-defined]

# :: if telemetry == "full"
from serving import exporter

# :: endif
from . import logs
from .granian_workers import Master, work
from .listening import close, handed_over
from .open_files import MOST, raise_limit
from .recycling import MASTER
from .settings import ServingSettings, load


class Server(Master):
    """Has one socket shared by all workers, also on Linux, so that waiting connections outlive a worker."""

    def _init_shared_socket(self) -> None:
        try:
            self._sso = self._listening()
        except OSError as error:  # granian would panic
            sys.exit(f"HOST, PORT, UNIX_SOCKET: {error} ({self.bind_uds or f'{self.bind_addr}:{self.bind_port}'})")
        if self._sso.family != socket.AF_UNIX:  # connections inherit it; otherwise small chunks are delayed by 40 ms
            self._sso.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ssp = None
        self._sfd = self._sso.fileno()  # type: ignore[assignment]
        self._shd = SocketHolder(self._sfd, self._sso.family == socket.AF_UNIX, self.backlog)  # type: ignore[assignment, call-arg]
        self._sso.set_inheritable(True)
        signal.signal(signal.SIGTERM, self._terminate)
        if self.reload_on_changes:
            signal.signal(signal.SIGHUP, self._terminate)  # the terminal was closed

    def _listening(self) -> socket.socket:
        """The first socket that systemd passes, or else a new one."""
        if handed_over():
            return socket.socket(fileno=3)
        if not (path := self.bind_uds):
            address, six = (self.bind_addr, self.bind_port), ":" in self.bind_addr
            family = socket.AF_INET6 if six else socket.AF_INET
            return socket.create_server(address, family=family, backlog=self.backlog, dualstack_ipv6=six)
        if path.is_socket():
            path.unlink()  # left behind by a service that was killed
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(str(path))
        path.chmod(0o666)
        bound.listen(self.backlog)
        return bound

    def shutdown(self, exit_code: int = 0) -> None:
        """Stop accepting connections, then tell the workers to stop."""
        if self._sso and not handed_over():
            close(self._sso)
        super().shutdown(exit_code)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self.pid:  # a worker that was only just forked
            sys.exit()
        if not self.interrupt_signal:  # only once: its lock is not reentrant
            self.signal_handler_interrupt()  # type: ignore[no-untyped-call]
            return
        for worker in self.wrks:  # already waiting for them: end them
            worker.terminate()


if __name__ == "__main__":
    settings = load(ServingSettings)
    raise_limit()
    # :: if telemetry == "full"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # until granian handles it; otherwise the folder would stay
    exporter.start()
    # :: endif
    reload = "--reload" in sys.argv[1:]
    if not reload:  # in development nobody should wait, and HUP ends the service
        os.environ[MASTER] = str(os.getpid())
    Server(
        "serving.granian_asgi:application",
        factory=True,
        address=settings.host,
        port=settings.port,
        uds=settings.unix_socket,
        interface=Interfaces.ASGI,
        workers=settings.web_concurrency,
        loop=Loops.uvloop,
        # Connections per worker, including idle ones. At the limit of open files it would retry without a pause.
        backpressure=min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], MOST) * 3 // 4,
        http=HTTPModes.http1,  # otherwise a connection that sends nothing is never closed
        # For idle connections, but also for headers: granian has one timer for both.
        http1_settings=HTTP1Settings(header_read_timeout=settings.keep_alive_seconds * 1000),  # milliseconds
        log_dictconfig=logs.config(development=settings.development, level=settings.log_level),
        respawn_failed_workers=True,
        workers_kill_timeout=settings.drain_seconds + 5,
        reload=reload,
        reload_ignore_patterns=[r"^(?!.*\.(py|env)$)"],
        reload_ignore_worker_failure=True,
    ).serve(work)
