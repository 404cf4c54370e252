"""HTTP/1.0 requests to uvicorn, and requests that offer an upgrade to another protocol."""

from httptools import HttpRequestParser
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class Unchunked(RequestResponseCycle):
    """A response in HTTP/1.0, which has no chunked encoding: without a length, the connection ends the body."""

    async def send(self, message: ASGISendEvent) -> None:
        self.chunked_encoding = False
        if message["type"] == "http.response.body":
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


class Versions(HttpToolsProtocol):
    """A connection that ignores upgrades other than WebSocket (RFC 9110, 7.8); uvicorn would ignore the body too."""

    def _should_upgrade(self) -> bool:
        """Whether to leave the request to `handle_websocket_upgrade`."""
        return self.scope["method"] != "CONNECT"  # not an upgrade, but it stops the parser too

    def without_offer(self) -> bytes:
        """The last request's head, for a new parser; the old one takes what follows for the other protocol."""
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        lines = [b"%s %s HTTP/%s" % (self.scope["method"].encode(), self.url, self.scope["http_version"].encode())]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])
