"""Loading breakeven.yaml: reading the file, validating it, and resolving its paths.

A `ConfigError` has one line per fault: the path of the key, what is wrong and how to fix it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from breakeven.gateway.config.outbound import Outbound, fault_of_variable
from breakeven.gateway.config.price_file import read_prices
from breakeven.gateway.config.proxies import proxy_of
from breakeven.gateway.config.schema import Config
from breakeven.gateway.config.tls import tls_context
from breakeven.gateway.errors import ConfigError

# The keys of the teacher that reading its prices from a file resolves.
_REPLACED = ("prices_file", "prices_model", "usd_per_million")
# Keys of an upstream that name files.
_FILES = ("ca_file", "client_cert", "client_key")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def load_config(path: Path) -> Config:
    """Load and validate a config file.

    Relative paths and SQLite URLs in it are resolved against its folder. The prices of `teacher.prices_file` are read
    into `teacher.usd_per_million`. Raises ConfigError.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror}); give the config with --config"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError([f"{path}: {where}not valid YAML ({getattr(error, 'problem', 'encoding')})"]) from None
    if not isinstance(document, dict):
        raise ConfigError([f"{path}: must be a mapping with at least the key teacher"])
    try:
        config = Config.model_validate(_with_prices(document, path.resolve().parent))
    except ValidationError as error:
        raise ConfigError(list(_lines(error))) from None
    return _resolved(config, path.resolve().parent)


def check_environment(config: Config) -> None:
    """Raise ConfigError for environment variables, certificates and proxies that the config names but that cannot be
    used, and for an address reachable from other machines without client keys.
    """
    faults = []
    for section, upstream in config.upstreams.items():
        faults += [f"{section}.{fault}" for fault in _faults_outside(upstream)]
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


def _lines(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
        if fault["type"] == "extra_forbidden":
            yield f"{path}: unknown key; remove it or check its spelling"
        elif fault["type"] == "missing":
            yield f"{path}: missing; it has no default"
        else:
            yield (
                f"{path}: {fault['msg'].removeprefix('Value error, ')}"
                if path
                else fault["msg"].removeprefix("Value error, ")
            )


def _with_prices(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The document with the prices that `teacher.prices_file` names; what is wrong otherwise is left to the schema."""
    teacher = document.get("teacher")
    if not isinstance(teacher, dict) or teacher.get("usd_per_million") is not None:
        return document
    file, model = teacher.get("prices_file"), teacher.get("prices_model") or teacher.get("model")
    if not isinstance(file, str) or not isinstance(model, str):
        return document
    others = {key: value for key, value in teacher.items() if key not in _REPLACED}
    return document | {"teacher": {**others, "usd_per_million": read_prices(folder / Path(file).expanduser(), model)}}


def _resolved(config: Config, folder: Path) -> Config:
    artifact = config.routing.artifact
    url = config.ledger.url
    match = re.fullmatch(r"(sqlite(?:\+\w+)?:///)([^?]+)(\?.*)?", url)
    if match and match[2] != ":memory:":
        url = f"{match[1]}{folder / match[2]}{match[3] or ''}"
    journal = config.ledger.journal
    if journal is None:
        journal = f"{folder / match[2]}-journal.d" if match and match[2] != ":memory:" else "breakeven-journal.d"
    ledger = {"url": url, "journal": str(folder / Path(journal).expanduser())}
    changes: dict[str, Any] = {"ledger": config.ledger.model_copy(update=ledger)}
    if artifact is not None:
        changes["routing"] = config.routing.model_copy(update={"artifact": str(folder / Path(artifact).expanduser())})
    for section, upstream in config.upstreams.items():
        given = {name: path for name in _FILES if (path := getattr(upstream, name)) is not None}
        paths = {name: str(folder / Path(path).expanduser()) for name, path in given.items()}
        changes[section.value] = upstream.model_copy(update=paths)
    return config.model_copy(update=changes)
