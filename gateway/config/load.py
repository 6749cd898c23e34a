"""Loading breakeven.yaml: reading the file, validating it, and resolving its paths.

A `ConfigError` has one line per fault: the path of the key, what is wrong and how to fix it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from breakeven.gateway.config.document import read_document, short
from breakeven.gateway.config.environment import with_environment
from breakeven.gateway.config.faults import lines
from breakeven.gateway.config.journal_folder import own_folder, owner
from breakeven.gateway.config.keys_file import with_keys
from breakeven.gateway.config.outbound import Outbound, fault_of_variable
from breakeven.gateway.config.paths import resolved
from breakeven.gateway.config.price_lookup import with_prices
from breakeven.gateway.config.prices import LookedUp
from breakeven.gateway.config.proxies import proxy_of
from breakeven.gateway.config.schema import Config
from breakeven.gateway.config.tls import tls_context
from breakeven.gateway.config.upstream import Upstream
from breakeven.gateway.errors import ConfigError

# Keys of an upstream that name files.
_FILES = ("ca_file", "client_cert", "client_key")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def load_config(path: Path, reading: Callable[[Path], None] = lambda _: None) -> Config:
    """Load and validate a config file.

    `${NAME}` in it, and keys that variables such as BREAKEVEN__STUDENT__BASE_URL give, come from the environment.
    Relative paths and SQLite URLs are resolved against its folder. The prices that `prices_file` or
    `prices_package` of the teacher, a fallback or a further model names are read into its `usd_per_million` and
    `price_changes`, and the keys of `auth.keys_file` into `auth.keys`. `reading` is called with each file that is
    watched, this one and that of the keys, before it is read. Raises ConfigError.
    """
    with _without_collections():
        return _load(path, reading)


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Without garbage collections, which would go over 100,000 client keys again and again, and stop a gateway that
    reads them again for as long.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _load(path: Path, reading: Callable[[Path], None]) -> Config:
    reading(path)
    document = read_document(path)
    folder = path.resolve().parent
    try:
        document = with_environment(document, os.environ)
    except ValueError as error:
        raise ConfigError([str(error)]) from None
    document, own_keys = with_keys(document, folder, reading)
    try:
        priced, sources = with_prices(document, folder)
        config = Config.model_validate(priced)
    except ValidationError as error:
        raise ConfigError(list(lines(error))) from None
    except (OverflowError, RecursionError) as error:
        raise ConfigError([f"{path}: a value in it cannot be read ({short(error)}); correct it"]) from None
    config.auth._own_keys = own_keys
    # Cached from here on, where no request waits for them: of 100,000 keys they take 50 ms.
    _ = config.auth.by_hash, config.auth.by_name, config.auth.budgeted
    priced_sections: tuple[LookedUp, ...] = (config.teacher, *config.teacher.fallbacks, *config.models)
    for section, source in zip(priced_sections, sources, strict=True):
        section._prices_source = source
    return _resolved(config, folder)


def check_environment(config: Config) -> None:
    """Raise ConfigError for environment variables, certificates and proxies that the config names but that cannot be
    used, and for an address reachable from other machines without client keys.
    """
    faults = []
    for section, upstream in config.sections.items():
        faults += [f"{section}.{fault}" for fault in _faults_outside(upstream)]
    for name, variable in (
        ("metrics_key_env", config.admin.metrics_key_env),
        ("console_key_env", config.admin.console_key_env),
    ):
        if variable is not None and not os.environ.get(variable):
            faults.append(f"admin.{name}: the environment variable {variable} is not set; export it")
    if not config.auth.keys and config.server.host not in LOOPBACK:
        faults.append(
            f"auth.keys: empty, so server.host must be loopback and is {config.server.host}; "
            "add a key or listen on 127.0.0.1"
        )
    if faults:
        raise ConfigError(faults)


def _faults_outside(upstream: Outbound) -> Iterator[str]:
    """What is wrong with the environment and the files that an upstream needs, each with its key."""
    unusable = [(key, fault) for key, name in upstream.variables() if (fault := fault_of_variable(name)) is not None]
    yield from (f"{key}: {fault}" for key, fault in unusable)
    if "proxy" not in dict(unusable):
        try:
            proxy_of(upstream)
        except ValueError as error:
            yield f"proxy: {error}"
    if upstream.ca_file is not None or upstream.client_cert is not None:
        try:
            tls_context(upstream)
        except ValueError as error:
            yield str(error)


def _resolved(config: Config, folder: Path) -> Config:
    artifact = config.routing.artifact
    url = config.ledger.url
    match = re.fullmatch(r"(sqlite(?:\+\w+)?:///)([^?]+)(\?.*)?", url)
    if match and match[2] != ":memory:":
        url = f"{match[1]}{folder / match[2]}{match[3] or ''}"
    journal = config.ledger.journal
    if journal is None:
        journal = f"{folder / match[2]}-journal.d" if match and match[2] != ":memory:" else "breakeven-journal.d"
    shared = resolved(folder, journal, "ledger.journal")
    ledger = {"url": url, "journal": str(own_folder(shared, owner(url, shared)))}
    changes: dict[str, Any] = {"ledger": config.ledger.model_copy(update=ledger)}
    if artifact is not None:
        path = str(resolved(folder, artifact, "routing.artifact"))
        changes["routing"] = config.routing.model_copy(update={"artifact": path})
    for section, upstream in config.upstreams.items():
        changes[section.value] = _with_paths(upstream, folder, section.value)
    if config.candidate is not None:
        changes["candidate"] = _with_paths(config.candidate, folder, "candidate")
    fallbacks = [_with_paths(one, folder, f"teacher.fallbacks[{n}]") for n, one in enumerate(config.teacher.fallbacks)]
    changes["teacher"] = changes["teacher"].model_copy(update={"fallbacks": fallbacks})
    changes["models"] = [_with_paths(one, folder, f"models[{n}]") for n, one in enumerate(config.models)]
    return config.model_copy(update=changes)


def _with_paths(upstream: Upstream, folder: Path, section: str) -> Upstream:
    """The section with its files as paths that hold anywhere."""
    given = {name: path for name in _FILES if (path := getattr(upstream, name)) is not None}
    if upstream.tokenizer is not None and upstream.tokenizer.endswith(".json"):
        given["tokenizer"] = upstream.tokenizer
    found = {name: str(resolved(folder, path, f"{section}.{name}")) for name, path in given.items()}
    return upstream.model_copy(update=found)
