"""A raw-socket client: sends what it is told, sees every byte that comes back."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object, checked for OpenAI's shape."""
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
        assert isinstance(error["message"], str)
        assert isinstance(error["type"], str)
        assert error["code"] is None or isinstance(error["code"], str)
        assert "application/json" in self.headers["content-type"]
        return dict(error)

    @property
    def events(self) -> list[bytes]:
        """A stream's events as sent; they all end in an empty line of LFs."""
        assert self.headers["content-type"].startswith("text/event-stream"), self.headers
        parts = self.body.split(b"\n\n")
        assert parts[-1] == b"", self.body[-200:]
        return [part + b"\n\n" for part in parts[:-1]]

    @property
    def last_error(self) -> dict[str, Any]:
        """The error event before the one `[DONE]` that ends a failed stream."""
        assert self.events[-1] == b"data: [DONE]\n\n", self.body[-300:]
        assert self.body.count(b"[DONE]") == 1
        return dict(json.loads(self.events[-2].removeprefix(b"data: "))["error"])


class RawClient:
    """One connection."""

    def __init__(self, port: int, timeout: float = 15.0, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self._buffer = b""

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> RawClient:
        given = {"host": "gateway", **(headers or {})}
        if body is not None and "transfer-encoding" not in given:
            given.setdefault("content-type", "application/json")
            given.setdefault("content-length", str(len(body)))
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in given.items()) + "\r\n"
        # A server may refuse the head alone, and close, while we still send.
        with contextlib.suppress(ConnectionError):
            self.send(head.encode("latin-1") + (body or b""))
        return self

    def head(self) -> tuple[int, dict[str, str]]:
        """Read status and headers."""
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return int(first.split(" ")[1]), headers

    def segments(self, headers: dict[str, str]) -> Iterator[bytes]:
        """The body as it comes. Raises EOFError where it is cut off."""
        if "content-length" in headers:
            length = int(headers["content-length"])
            while len(self._buffer) < length:
                self._more()
            data, self._buffer = self._buffer[:length], self._buffer[length:]
            if data:
                yield data
            return
        assert headers.get("transfer-encoding") == "chunked", headers
        while True:
            while b"\r\n" not in self._buffer:
                self._more()
            size_line, _, rest = self._buffer.partition(b"\r\n")
            size = int(size_line, 16)
            while len(rest) < size + 2:
                self._more()
                rest = self._buffer.partition(b"\r\n")[2]
            data, self._buffer = rest[:size], rest[size + 2 :]
            if not size:
                return
            yield data

    def response(self, method: str = "POST") -> Response:
        status, headers = self.head()
        return Response(status, headers, b"" if method == "HEAD" else b"".join(self.segments(headers)))

    def reset(self) -> None:
        """Go away without a goodbye."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _more(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            raise EOFError("the server closed the connection")
        self._buffer += data


def ask(
    port: int, path: str, body: object = None, headers: dict[str, str] | None = None, method: str = "POST"
) -> Response:
    """One request on a connection of its own. A body that is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    with RawClient(port) as client:
        return client.request(method, path, data, headers).response(method)


def eventually(check: Any, seconds: float = 5.0) -> Any:
    """Poll until `check()` is truthy; its value."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value or time.monotonic() > end:
            assert value, "it did not become true in time"
            return value
        time.sleep(0.02)
