"""Reading the config again while the gateway runs: a valid one swaps in at once, an invalid one changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import BreakevenError, ConfigError, LedgerError
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.server.startup import check_scorer
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.model.artifact import Artifact, ArtifactError, load, written_hash
from breakeven.router.policy import Route

_log = logging.getLogger("breakeven.reload")

_LOOK_SECONDS = 1.0
_SHARE_SECONDS = 2.0
_RETIRE_SECONDS = 0.5
_WINDOW_RETRY_SECONDS = 10.0


class Current:
    """The services in force. A request takes them once, at its start, and keeps them to its end."""

    def __init__(self, services: Services, read: Callable[[], Config] | None = None, path: Path | None = None) -> None:
        """`read` gives the config afresh; `path` is the file that is watched. Without `read` nothing reloads."""
        self.services = services
        self._read = read
        self._path = path
        self._seen = self._stamp()
        self._asked = asyncio.Event()
        self._retiring: set[asyncio.Task[None]] = set()

    def __call__(self) -> Services:
        return self.services

    def ask(self) -> None:
        """Read the config again soon, changed or not."""
        self._asked.set()

    async def watch(self) -> None:
        """Reload whenever it was asked for or the file changed, and follow a policy that another machine put; until
        cancelled.
        """
        shared_at = -_SHARE_SECONDS
        # Either file may have changed after it was read and before its first stamp, while this worker was starting.
        if await asyncio.to_thread(self._outdated):
            self.ask()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._asked.wait()
            stamp = self._stamp()
            if self._asked.is_set() or stamp != self._seen:
                self._asked.clear()
                self._seen = stamp
                await self.reload()
            if self.services.ledger.shared and time.monotonic() - shared_at >= _SHARE_SECONDS:
                shared_at = time.monotonic()
                await asyncio.to_thread(self.services.policies.sync)

    async def reload(self) -> bool:
        """Whether the config as it is now is in force. Never raises for a config that is wrong."""
        if self._read is None:
            return False
        old = self.services
        try:
            config, artifact = await asyncio.to_thread(self._open, self._read, old)
            new = old.renewed(config, artifact)
            for route, upstream in new.upstreams.items():
                if upstream is not old.upstreams[route]:
                    await upstream.start()
        except BreakevenError as error:
            faults = error.faults if isinstance(error, ConfigError) else [str(error)]
            old.state.config_faults = tuple(faults)
            old.metrics.reload_successful.set(0)
            _log.error("the config was not reloaded, the one before stays: %s", "; ".join(faults))
            return False
        self.services = new
        new.state.shown.update(new.upstreams)
        new.state.policies = new.policies
        new.state.config_faults = ()
        new.metrics.reload_successful.set(1)
        _log.info("the config was reloaded")
        for route, upstream in old.upstreams.items():
            if upstream is not new.upstreams[route]:
                task = asyncio.create_task(_retire(upstream))
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)
        return True

    async def learn_context_window(self) -> None:
        """Ask the student's server for its context window where the config does not say it; until cancelled."""
        while True:
            student = self.services.upstreams[Route.STUDENT]
            if student.context_window is None:
                student.context_window = await student.fetch_context_window()
            await asyncio.sleep(_WINDOW_RETRY_SECONDS)

    async def aclose(self) -> None:
        """Close the pools, those of configs before as well."""
        for task in tuple(self._retiring):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for upstream in self.services.upstreams.values():
            await upstream.aclose()

    @staticmethod
    def _open(read: Callable[[], Config], old: Services) -> tuple[Config, Artifact]:
        config = read()
        faults = [
            f"{name}: cannot change while the gateway runs; restart it"
            for name, before, after in (
                ("server.host", old.config.server.host, config.server.host),
                ("server.port", old.config.server.port, config.server.port),
                ("server.workers", old.config.server.workers, config.server.workers),
                ("server.cors_origins", old.config.server.cors_origins, config.server.cors_origins),
                ("ledger", old.config.ledger, config.ledger),
            )
            if before != after
        ]
        if faults:
            raise ConfigError(faults)
        path = config.routing.artifact
        try:
            artifact = load(Path(path) if path is not None else None)
        except ArtifactError as error:
            raise ConfigError([f"routing.artifact: {error}"]) from None
        check_scorer(config)
        try:
            old.ledger.enter(config, now=time.time_ns() // 1000)
        except LedgerError as error:
            raise ConfigError([f"ledger.url: {error}"]) from None
        return config, artifact

    def _outdated(self) -> bool:
        """Whether the config reads differently from the one in force, or not at all, or its artifact is another."""
        if self._read is None:
            return False
        try:
            config = self._read()
        except ConfigError:
            return True
        path = config.routing.artifact
        replaced = path is not None and written_hash(Path(path)) != self.services.artifact.hash
        return replaced or config != self.services.config

    def _stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        """Of the config's file and of the router's artifact, either of which may be replaced."""
        if self._path is None:
            return ()
        artifact = self.services.config.routing.artifact
        return _stat(self._path), None if artifact is None else _stat(Path(artifact, "metadata.json"))


def _stat(path: Path) -> tuple[int, int, int] | None:
    """What changes with a file; None where there is none."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


async def _retire(upstream: Upstream) -> None:
    """Close an upstream's pool once its last request has ended."""
    try:
        while upstream.in_flight:  # noqa: ASYNC110
            await asyncio.sleep(_RETIRE_SECONDS)
    finally:
        await upstream.aclose()
