"""A TLS server that gives one answer, and places where no server answers."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 94\r\nconnection: close\r\n\r\n"
    b'{"id":"1","object":"chat.completion","choices":[{"message":{"content":"hi"}}],"usage":{"a":1}}'
)


@contextlib.contextmanager
def server(context: ssl.SSLContext | None) -> Iterator[int]:
    """A server on 127.0.0.1 that gives every request the same answer, with None without TLS; its port."""

    def answer(connection: socket.socket) -> None:
        with connection if context is None else context.wrap_socket(connection, server_side=True) as spoken:
            spoken.recv(65536)
            spoken.sendall(ANSWER)

    # Most handshakes are to fail.
    with _listening(answer) as port:
        yield port


@contextlib.contextmanager
def unused_port() -> Iterator[int]:
    """A port at which connections are refused."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """A port at which connections are neither accepted nor refused."""
    with contextlib.ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = open_sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def refusing(context: ssl.SSLContext) -> Iterator[int]:
    """A server on 127.0.0.1 whose handshakes fail, by what `context` demands of clients; its port. Each gets the alert
    and is read to its end, so that nothing resets the connection before.
    """

    def refuse(raw: socket.socket, spoken: ssl.SSLSocket) -> None:
        with contextlib.suppress(OSError):
            spoken.do_handshake()
        _read_to_the_end(raw)

    with _speaking(context, refuse) as port:
        yield port


@contextlib.contextmanager
def breaking(context: ssl.SSLContext) -> Iterator[int]:
    """A server on 127.0.0.1 whose TLS breaks within each answer, by a record that cannot be decrypted; its port."""

    def break_off(raw: socket.socket, spoken: ssl.SSLSocket) -> None:
        spoken.do_handshake()
        spoken.recv(65536)
        spoken.sendall(ANSWER[:-20])
        raw.sendall(b"\x17\x03\x03\x00\x40" + bytes(64))
        _read_to_the_end(raw)

    with _speaking(context, break_off) as port:
        yield port


def _read_to_the_end(raw: socket.socket) -> None:
    raw.shutdown(socket.SHUT_WR)
    while raw.recv(65536):
        pass


@contextlib.contextmanager
def _speaking(context: ssl.SSLContext, speak: Callable[[socket.socket, ssl.SSLSocket], None]) -> Iterator[int]:
    """A server that does `speak` with each connection, bare and with TLS before its handshake; its port."""

    def answer(connection: socket.socket) -> None:
        raw = connection.dup()
        with raw, context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as spoken:
            speak(raw, spoken)

    with _listening(answer) as port:
        yield port


@contextlib.contextmanager
def _listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does `answer` with each connection, in a thread of its own, whatever fails in it; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            answer(connection)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
