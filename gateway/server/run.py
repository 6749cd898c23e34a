"""Running the app: sockets, signals, draining."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import signal
import socket
import sys
from collections.abc import Iterator, Mapping

import uvicorn
from fastapi import FastAPI

from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import ConfigError
from breakeven.gateway.proxy.downstream import Receive, Scope, Send
from breakeven.gateway.proxy.handler import Relay
from breakeven.gateway.runtime.services import State
from breakeven.gateway.server.protocol import RelayProtocol

_POLL_SECONDS = 0.05
_SWITCH_SECONDS = 0.0002


def bind(config: Config) -> socket.socket:
    """The listening socket. Raises ConfigError where the address is taken or not ours."""
    host, port = config.server.host, config.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError([f"server.port: cannot listen on {host}:{port} ({error.strerror}); choose another"]) from None
    return listener


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Ours are in `serve`: uvicorn's own would end the process by the signal instead of exit code 0.
        yield


class _Straight:
    """Relayed requests go straight to their relay, everything else through the app's layers."""

    def __init__(self, app: FastAPI, read_seconds: float) -> None:
        self._app = app
        self.read_seconds = read_seconds
        relays: Mapping[str, Relay] = app.state.relays
        self.relays = {path.encode(): relay for path, relay in relays.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _spare_the_collector() -> None:
    """What is there at the start stays: the collector need not look through it again and again.

    A full collection of it takes tens of milliseconds, in which no stream goes on.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _give_memory_back() -> None:
    """To the system, what reading the artifact and the config took: glibc keeps it, some ten megabytes."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _favour_the_loop() -> None:
    """The ledger's thread gives the interpreter back soon: by default it keeps it for 5 ms while a request waits."""
    sys.setswitchinterval(_SWITCH_SECONDS)


def serve(app: FastAPI, config: Config, listener: socket.socket) -> int:
    """Serve until SIGTERM or SIGINT, then drain. Returns the exit code."""
    server = _Server(
        uvicorn.Config(
            _Straight(app, config.server.read_seconds),
            http=RelayProtocol,
            ws="none",
            loop="auto",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
        )
    )

    async def main() -> None:
        loop = asyncio.get_running_loop()
        stop, hurry = asyncio.Event(), asyncio.Event()

        def on_signal() -> None:
            (hurry if stop.is_set() else stop).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        loop.add_signal_handler(signal.SIGHUP, app.state.current.ask)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        state: State = app.state.current().state
        state.draining = True
        deadline = loop.time() + config.server.drain_seconds
        while state.running and loop.time() < deadline and not (hurry.is_set() or running.done()):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        state.abort()
        server.should_exit = True
        await running

    _spare_the_collector()
    _give_memory_back()
    _favour_the_loop()
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(main())
    return 0 if server.started else 1
