"""Rejections, the same on every server."""

from collections.abc import Mapping

from starlette.responses import PlainTextResponse
from starlette.types import Scope

MAX_TARGET = 8 * 1024
MAX_HEADERS = 64 * 1024


def refusal(status: int, reason: str) -> PlainTextResponse:
    """A response after which the connection is closed."""
    if status == 413:  # a client still sending would see a reset; the server reads the rest first
        return PlainTextResponse(reason, status)
    return PlainTextResponse(reason, status, headers={"connection": "close"})


OVERLOAD = PlainTextResponse("too many requests at once", 503, headers={"retry-after": "1"})
STOPPING = PlainTextResponse("stopping", 503, headers={"connection": "close", "retry-after": "1"})
HOST = refusal(400, "exactly one Host header is needed")
OTHER_HOST = refusal(400, "this service has no such host")
TARGET = refusal(414, f"the target has more than {MAX_TARGET} bytes")


def refusal_of(scope: Scope, headers: Mapping[bytes, bytes]) -> PlainTextResponse | None:
    """The response that RFC 9110 and 9112 demand, or None for a valid request. `headers` has the last of each name."""
    fields = scope["headers"]
    hosts = 1 if len(fields) == len(headers) else [name for name, _ in fields].count(b"host")
    # An empty Host counts as none; granian adds one if it is missing.
    if hosts > 1 or (not headers.get(b"host") and scope.get("http_version", "1.1") == "1.1"):
        return HOST
    if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > MAX_TARGET:
        return TARGET
    # :: if server in ("granian", "hypercorn")
    if b"content-length" in headers and b"transfer-encoding" in headers:
        return refusal(400, "Content-Length and Transfer-Encoding exclude each other")
    if sum(len(name) + len(value) for name, value in fields) > MAX_HEADERS:
        return refusal(431, f"the headers have more than {MAX_HEADERS} bytes")
    # :: endif
    return None
