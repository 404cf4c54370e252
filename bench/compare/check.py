"""What every contestant must answer before it is measured."""

import time
from collections.abc import Callable

import httpx2

from tests.service import Service

WAIT = 0.4  # seconds; what is judged by them has a wide margin, because the machine may be busy


def fault(server: Service) -> str | None:
    """The first answer that is wrong, in one line; None if all are right."""
    for check in CHECKS:
        try:
            wrong = check(server)
        except (httpx2.HTTPError, ValueError) as error:
            wrong = repr(error)
        if wrong:
            return f"{check.__name__}: {wrong}"
    return None


def quick(server: Service) -> str | None:
    return differs(server.get("/quick"), {"status": "ok"})


def poll(server: Service) -> str | None:
    started = time.monotonic()
    wrong = differs(server.get(f"/poll?seconds={WAIT}"), {"messages": []})
    seconds = time.monotonic() - started
    return wrong or (f"answered after {seconds:.2f} s, asked to wait {WAIT} s" if seconds < WAIT * 0.9 else None)


def stream(server: Service) -> str | None:
    came: list[float] = []
    text = b""
    with httpx2.stream("GET", f"{server.url}/stream?ticks=3&pause={WAIT / 2}", timeout=10) as response:
        for chunk in response.iter_raw():
            came.append(time.monotonic())
            text += chunk
    if (response.status_code, text) != (200, b"0\n1\n2\n"):
        return f"{response.status_code} {text[:100]!r}"
    return "held back until its end" if came[-1] - came[0] < WAIT / 8 else None


def unknown(server: Service) -> str | None:
    status = server.get("/unknown").status_code
    return None if status == 404 else f"{status}, not 404"


def differs(response: httpx2.Response, wanted: object) -> str | None:
    right = response.status_code == 200 and response.json() == wanted
    return None if right else f"{response.status_code} {response.text[:100]!r}"


CHECKS: tuple[Callable[[Service], str | None], ...] = (quick, poll, stream, unknown)
