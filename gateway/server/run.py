"""Running the app in one process: listening socket, signals, graceful shutdown and interpreter settings."""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import socket
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from fastapi import FastAPI

from breakeven.gateway.config.schema import Config
from breakeven.gateway.config.server import Server
from breakeven.gateway.errors import ConfigError
from breakeven.gateway.proxy.downstream import Receive, Scope, Send
from breakeven.gateway.proxy.handler import Relay
from breakeven.gateway.runtime.state import State
from breakeven.gateway.server.connections import Connections, most_connections, raise_file_limit
from breakeven.gateway.server.direct_client import BodyBytes
from breakeven.gateway.server.heap import trim_heap
from breakeven.gateway.server.protocol import AcceptingServer, RelayProtocol
from breakeven.gateway.server.signals import take_reloads

_POLL_SECONDS = 0.05
_THREADS = 32
_SWITCH_INTERVAL_SECONDS = 0.0002


def bind(config: Config) -> socket.socket:
    """Bind `server.host` and `server.port` and return the socket, which does not listen yet.

    Raises ConfigError where the address is in use or does not belong to this machine.
    """
    listener = _new_socket(config)
    try:
        listener.bind((config.server.host, config.server.port))
    except (OSError, UnicodeError) as error:
        listener.close()
        raise _cannot_listen(config, error) from None
    return listener


def check_address(config: Config) -> None:
    """Check that `bind` could bind the address, apart from whether the port is free. Raises ConfigError as it does."""
    with _new_socket(config) as listener:
        try:
            listener.bind((config.server.host, config.server.port))
        except (OSError, UnicodeError) as error:
            if not isinstance(error, OSError) or error.errno != errno.EADDRINUSE:
                raise _cannot_listen(config, error) from None


def _new_socket(config: Config) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in config.server.host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return listener


def _cannot_listen(config: Config, error: OSError | UnicodeError) -> ConfigError:
    of_port = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES)
    said = (error.strerror or "an error") if isinstance(error, OSError) else "no host can have this name"
    where = f"{config.server.host}:{config.server.port}"
    return ConfigError([f"server.{'port' if of_port else 'host'}: cannot listen on {where} ({said}); choose another"])


class _Dispatcher:
    """The app as `RelayProtocol` needs it: it looks up `relays` by path itself; everything else goes through ASGI."""

    def __init__(self, app: FastAPI, server: Server, connections: Connections) -> None:
        self._app = app
        self.head_seconds = server.head_seconds
        self.bodies = BodyBytes(server.max_bodies_bytes)
        self.open_connections = connections
        relays: Mapping[str, Relay] = app.state.relays
        self.relays = {path.encode(): relay for path, relay in relays.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _freeze_startup_objects() -> None:
    """Exclude the objects that exist at startup from garbage collection (gc.freeze).

    They live as long as the process, and a full collection over them stalls all streams for tens of milliseconds. So
    does one of the middle generation where thousands of streams were opened since the last: it runs after 40,000
    objects, whose look-through takes some 15 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 4, 250)


def _shorten_switch_interval() -> None:
    """Let the event loop get the GIL back sooner: by default the ledger's thread may hold it for 5 ms."""
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)


def serve(app: FastAPI, config: Config, listener: socket.socket) -> int:
    """Serve until SIGTERM or SIGINT, then shut down gracefully. Returns the exit code, 1 if startup failed.

    Running requests get `server.drain_seconds` to end; a second signal, or the end of that time, aborts them.
    SIGHUP reloads the config.
    """
    raise_file_limit()
    metrics = app.state.current().server_metrics
    connections = Connections(most_connections(config.server), config.server.max_connections_per_peer, metrics)
    server = AcceptingServer(
        uvicorn.Config(
            _Dispatcher(app, config.server, connections),
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
        ),
        connections,
    )

    async def main() -> None:
        loop = asyncio.get_running_loop()
        # Reading the ledger in the background may hold some of them for as long as its database hangs.
        loop.set_default_executor(ThreadPoolExecutor(_THREADS, "breakeven-work"))
        stop, abort_now = asyncio.Event(), asyncio.Event()

        def on_signal() -> None:
            (abort_now if stop.is_set() else stop).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        loop.add_signal_handler(signal.SIGHUP, app.state.current.request_reload)
        take_reloads()
        running = asyncio.create_task(server.serve(sockets=[listener]))
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        state: State = app.state.current().state
        state.draining = True
        deadline = loop.time() + config.server.drain_seconds
        while state.running and loop.time() < deadline and not (abort_now.is_set() or running.done()):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        state.abort()
        server.should_exit = True
        await running

    _freeze_startup_objects()
    trim_heap()
    _shorten_switch_interval()
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(main())
    return 0 if server.started else 1
