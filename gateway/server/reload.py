"""Config reload while the gateway runs: a valid config replaces the current one, an invalid one changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import BreakevenError, ConfigError, LedgerError
from breakeven.gateway.observability.tracing import open_spans
from breakeven.gateway.runtime.promotion import with_promotion
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.server.start_report import report_reached
from breakeven.gateway.server.startup import check_loadable, open_artifact
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.model.artifact import Artifact, written_hash

_log = logging.getLogger("breakeven.reload")

_WATCH_SECONDS = 1.0
_POLICY_SYNC_SECONDS = 2.0
_IDLE_POLL_SECONDS = 0.5


class Current:
    """The services built from the config in force. A request takes them once, at its start, and keeps them."""

    def __init__(self, services: Services, read: Callable[[], Config] | None = None, path: Path | None = None) -> None:
        """`read` loads the config again; `path` is its file, which is watched. Without `read` nothing is reloaded."""
        self.services = services
        self._read = read
        self._path = path
        self._last_file_state = self._file_state()
        self._requested = asyncio.Event()
        self._reloaded = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self) -> Services:
        return self.services

    def request_reload(self) -> None:
        """Have `watch` reload the config soon, whether or not its file changed. Returns at once."""
        self._requested.set()

    async def next_reload(self) -> None:
        """Wait until another config is in force."""
        await self._reloaded.wait()

    async def watch(self) -> None:
        """Until cancelled: reload when it was requested or a watched file changed, and keep the policy of a shared
        ledger in sync.
        """
        synced_at = -_POLICY_SYNC_SECONDS
        # A file may have changed after it was read and before the first `_file_state`, while this worker was starting.
        if await asyncio.to_thread(self._outdated):
            self.request_reload()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_SECONDS):
                    await self._requested.wait()
            file_state = self._file_state()
            if self._requested.is_set() or file_state != self._last_file_state:
                self._requested.clear()
                self._last_file_state = file_state
                await self.reload()
            if self.services.ledger.shared and time.monotonic() - synced_at >= _POLICY_SYNC_SECONDS:
                synced_at = time.monotonic()
                await asyncio.to_thread(self.services.policies.sync)

    async def reload(self) -> bool:
        """Load the config and put it in force. False, with the faults logged and kept, if it is invalid.

        Never raises for an invalid config.
        """
        if self._read is None:
            return False
        old = self.services
        try:
            given, config, artifact = await asyncio.to_thread(self._load, self._read, old)
            new = old.with_config(config, artifact, given)
            before, after = old.every_upstream, new.every_upstream
            added = [upstream for label, upstream in after.items() if upstream is not before.get(label)]
            for upstream in added:
                await upstream.start()
        except BreakevenError as error:
            return self._refuse(error.faults if isinstance(error, ConfigError) else [str(error)])
        except Exception as error:  # the gateway serves, and the next file is read, whatever is wrong with this one
            _log.exception("internal error: %s", type(error).__name__)
            return self._refuse([f"internal error: {type(error).__name__}, see the log; correct the file"])
        self.services = new
        # In place and never empty: a scrape may be reading it.
        for label in set(new.state.exported_upstreams) - set(after):
            del new.state.exported_upstreams[label]
        new.state.exported_upstreams.update(after)
        new.metrics.expect(after.values())
        new.state.policies = new.policies
        new.state.config_faults = ()
        new.metrics.reloaded_at.set(time.time_ns() // 1_000_000 / 1000)
        new.metrics.reload_successful.set(1)
        self._trace(config)
        self._reloaded.set()
        self._reloaded = asyncio.Event()
        _log.info("the config was reloaded")
        self._run(report_reached(added))
        for label, upstream in before.items():
            if upstream is not after.get(label):
                self._run(_close_when_idle(upstream))
        return True

    def _refuse(self, faults: list[str]) -> bool:
        services = self.services
        services.state.config_faults = tuple(faults)
        services.metrics.reload_successful.set(0)
        _log.error("config reload rejected, keeping the previous config: %s", "; ".join(faults))
        return False

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this beside the requests, until it ends or the app does."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _trace(self, config: Config) -> None:
        """Record spans as another config says; those of running requests are recorded so as well."""
        state = self.services.state
        before = None if state.spans is None else state.spans.config
        if config.tracing == before or (before is None and config.tracing.otlp_endpoint is None):
            return
        old, state.spans = state.spans, open_spans(config.tracing)
        if old is not None:
            # It may take seconds to export what is queued.
            threading.Thread(target=old.close, name="breakeven-spans", daemon=True).start()

    async def aclose(self) -> None:
        """Close the connection pools, those of earlier configs too, and end what runs beside the requests."""
        for task in tuple(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for upstream in self.services.every_upstream.values():
            await upstream.aclose()

    @staticmethod
    def _load(read: Callable[[], Config], old: Services) -> tuple[Config, Config, Artifact]:
        given = read()
        config = with_promotion(given, old.ledger, old.state.experiment)
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
        # Of the file's student, as at a start: a promoted candidate has routers of its own name in the ledger.
        artifact = open_artifact(given)
        check_loadable(config)
        try:
            old.ledger.enter(config, now=time.time_ns() // 1000)
        except LedgerError as error:
            raise ConfigError([f"ledger.url: {error}"]) from None
        return given, config, artifact

    def _outdated(self) -> bool:
        """Whether the config on disk is invalid or differs from the one in force, or its router artifact does."""
        if self._read is None:
            return False
        try:
            config = self._read()
        except Exception:  # the reload says what is wrong
            return True
        path = config.routing.artifact
        replaced = path is not None and written_hash(Path(path)) != self.services.artifact.hash
        return replaced or config != self.services.given

    def _file_state(self) -> tuple[tuple[int, int, int] | None, ...]:
        """`_stat` of the config file and of the router artifact's metadata; empty where no file is watched."""
        if self._path is None:
            return ()
        artifact = self.services.config.routing.artifact
        return _stat(self._path), None if artifact is None else _stat(Path(artifact, "metadata.json"))


def _stat(path: Path) -> tuple[int, int, int] | None:
    """Modification time (ns), size and inode of a file; None where it cannot be read."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


async def _close_when_idle(upstream: Upstream) -> None:
    """Close an upstream's connection pool once its last request has ended."""
    try:
        while upstream.in_flight:  # noqa: ASYNC110
            await asyncio.sleep(_IDLE_POLL_SECONDS)
    finally:
        await upstream.aclose()
