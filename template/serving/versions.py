"""Requests of HTTP/1.0 to uvicorn, and those that offer to speak something newer than HTTP/1.1."""

from httptools import HttpRequestParser
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class Unchunked(RequestResponseCycle):
    """An answer in HTTP/1.0, which knows no chunks: without a length, the body ends with the connection."""

    async def send(self, message: ASGISendEvent) -> None:
        self.chunked_encoding = False
        if message["type"] == "http.response.body":
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


class Versions(HttpToolsProtocol):
    """A connection on which all offers but WebSockets are ignored: RFC 9110, 7.8. uvicorn ignores the body with them."""

    def _should_upgrade(self) -> bool:
        """Whether to leave the request to `handle_websocket_upgrade`."""
        return self.scope["method"] != "CONNECT"  # which is no offer, but stops the parser too

    def without_offer(self) -> bytes:
        """The head of the last request for a new parser; the old one takes what follows for the other protocol."""
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        lines = [b"%s %s HTTP/%s" % (self.scope["method"].encode(), self.url, self.scope["http_version"].encode())]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])
