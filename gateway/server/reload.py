"""Config reload while the gateway runs: a valid config replaces the current one, an invalid one changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import BreakevenError, ConfigError, LedgerError
from breakeven.gateway.observability.tracing import open_spans
from breakeven.gateway.runtime.promotion import with_promotion
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.server.heap import trim_heap
from breakeven.gateway.server.own_thread import in_own_thread
from breakeven.gateway.server.start_report import report_reached
from breakeven.gateway.server.startup import check_loadable, open_artifact
from breakeven.gateway.server.watched_files import WatchedFiles
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.model.artifact import Artifact, written_hash

_log = logging.getLogger("breakeven.reload")

_WATCH_SECONDS = 1.0
_POLICY_SYNC_SECONDS = 2.0
_IDLE_POLL_SECONDS = 0.5
_THREAD = "breakeven-reload"
# 100,000 client keys take a minute to read; what takes longer hangs, such as an operator's module that waits.
_LOAD_SECONDS = 180.0


class Current:
    """The services built from the config in force. A request takes them once, at its start, and keeps them."""

    def __init__(
        self,
        services: Services,
        read: Callable[[], Config] | None = None,
        path: Path | None = None,
        load_seconds: float = _LOAD_SECONDS,
        files: WatchedFiles | None = None,
        keep: Callable[[Config], None] | None = None,
    ) -> None:
        """`read` loads the config again; `path` is its file, which is watched. Without `read` nothing is reloaded.

        A config that takes more than `load_seconds` to load is refused. `files`: their states before the config was
        read, where `read` notes them; without, the config is read once more, as it may have changed meanwhile. `keep`
        gets each config that was put in force.
        """
        self._keep = keep
        self._load_seconds = load_seconds
        self.services = services
        self._read = read
        self._path = path
        self._noted = files is not None
        self._files = files or WatchedFiles()
        for one in () if path is None else (path, *_named(services.config)):
            if one not in self._files:
                self._files.read(one)
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
        # A file may have changed after it was read and before it was watched, while this worker was starting.
        with contextlib.suppress(TimeoutError):
            if await in_own_thread(self._outdated, self._load_seconds, _THREAD):
                self.request_reload()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_SECONDS):
                    await self._requested.wait()
            try:
                await self._reload_if_changed()
                if self.services.ledger.shared and time.monotonic() - synced_at >= _POLICY_SYNC_SECONDS:
                    synced_at = time.monotonic()
                    await asyncio.to_thread(self.services.policies.sync)
            except Exception as error:  # the next file is read, whatever happened here
                _log.exception("internal error: %s", type(error).__name__)

    async def _reload_if_changed(self) -> None:
        """Reload where it was requested, or once a watched file that changed does so no longer."""
        if not self._requested.is_set():
            if not self._files.changed:
                return
            await self._files.settle()
        self._requested.clear()
        await self.reload()

    async def reload(self) -> bool:
        """Load the config and put it in force. False, with the faults logged and kept, if it is invalid.

        Never raises for an invalid config.
        """
        if self._read is None:
            return False
        old = self.services
        try:
            wanted = threading.Event()
            wanted.set()
            try:
                load = partial(self._load, self._read, old, wanted)
                given, config, artifact = await in_own_thread(load, self._load_seconds, _THREAD)
            finally:
                wanted.clear()
            new = old.with_config(config, artifact, given)
            before, after = old.every_upstream, new.every_upstream
            added = [upstream for label, upstream in after.items() if upstream is not before.get(label)]
            for upstream in added:
                await upstream.start()
        except BreakevenError as error:
            return self._refuse(error.faults if isinstance(error, ConfigError) else [str(error)])
        except TimeoutError:
            return self._refuse(
                [f"it took more than {self._load_seconds:g} s to load; does a module that it names wait?"]
            )
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
        new.metrics.reloads.applied()
        self._trace(config)
        self._reloaded.set()
        self._reloaded = asyncio.Event()
        _log.info("the config was reloaded")
        if self._keep is not None:
            self._run(self._kept(self._keep, given))
        self._run(report_reached(added))
        self._run(asyncio.to_thread(trim_heap))
        for label, upstream in before.items():
            if upstream is not after.get(label):
                self._run(_close_when_idle(upstream))
        return True

    def _refuse(self, faults: list[str]) -> bool:
        services = self.services
        services.state.config_faults = tuple(faults)
        services.metrics.reloads.refused()
        _log.error("config reload rejected, keeping the previous config: %s", "; ".join(faults))
        return False

    async def _kept(self, keep: Callable[[Config], None], config: Config) -> None:
        try:
            await asyncio.to_thread(keep, config)
        except OSError as error:
            _log.error("the config in force is not kept for workers that start later: %s", error.strerror)

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

    def _load(
        self, read: Callable[[], Config], old: Services, wanted: threading.Event
    ) -> tuple[Config, Config, Artifact]:
        """Load everything that a config names, and enter it into the ledger while it is still `wanted`."""
        if self._path is not None:
            self._files.read(self._path)
        given = read()
        if self._path is not None:
            # The artifact of a config that is refused is watched, too: it may be mended.
            self._files.keep([self._path, *_named(old.config), *_named(given)])
            for one in _named(given):
                if one not in self._files or one == _metadata(given):
                    self._files.read(one)
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
        if not wanted.is_set():
            raise ConfigError(["it took too long to load"])
        try:
            old.ledger.enter(config, now=time.time_ns() // 1000)
        except LedgerError as error:
            raise ConfigError([f"ledger.url: {error}"]) from None
        return given, config, artifact

    def _outdated(self) -> bool:
        """Whether the config on disk is invalid or differs from the one in force, or its router artifact does."""
        if self._read is None:
            return False
        config = self.services.given
        if not self._noted or self._files.changed:
            try:
                config = self._read()
            except Exception:  # the reload says what is wrong
                return True
        path = config.routing.artifact
        replaced = path is not None and written_hash(Path(path)) != self.services.artifact.hash
        return replaced or config != self.services.given


def _named(config: Config) -> tuple[Path, ...]:
    """The files that the config names and that are watched with it."""
    keys = config.auth.keys_file
    return tuple(one for one in (_metadata(config), None if keys is None else Path(keys)) if one is not None)


def _metadata(config: Config) -> Path | None:
    """The file that changes with the config's router artifact; None where it names none."""
    path = config.routing.artifact
    return None if path is None else Path(path, "metadata.json")


async def _close_when_idle(upstream: Upstream) -> None:
    """Close an upstream's connection pool once its last request has ended."""
    try:
        while upstream.in_flight:  # noqa: ASYNC110
            await asyncio.sleep(_IDLE_POLL_SECONDS)
    finally:
        await upstream.aclose()
