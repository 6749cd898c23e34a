"""Reading the client keys of `auth.keys_file`: one JSON object per line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from breakeven.gateway.config.access import ClientKey
from breakeven.gateway.config.faults import lines
from breakeven.gateway.config.paths import resolved
from breakeven.gateway.errors import ConfigError
from breakeven.router.files import read_file

# 100,000 keys take about 12 MB.
_MAX_BYTES = 1 << 27
_SECTION = "auth.keys_file"
# The keys of an object whose values are no objects: strings before a colon.
_KEYS = re.compile(rb'"([^"\\]*)"\s*:')
_one = TypeAdapter(ClientKey).validator


def with_keys(
    document: dict[str, Any], folder: Path, reading: Callable[[Path], None]
) -> tuple[dict[str, Any], int | None]:
    """The document with the keys of the file that `auth.keys_file` names after those of `auth.keys`, and how many it
    had itself, None without such a file. `reading` is called with the file. What is wrong with the section otherwise
    is left to the schema. Raises ConfigError.

    Keys are validated one at a time: all at once take 0.3 s, in which a gateway that reloads them would do nothing.
    """
    auth = document.get("auth")
    given = auth.get("keys", []) if isinstance(auth, dict) else None
    if not isinstance(auth, dict) or not isinstance(given, list):
        return document, None
    keys = [_validated(one) for one in given]
    file = auth.get("keys_file")
    if not isinstance(file, str):
        return {**document, "auth": {**auth, "keys": keys}}, None
    path = resolved(folder, file, _SECTION)
    reading(path)
    keys += _read(path)
    return {**document, "auth": {**auth, "keys_file": str(path), "keys": keys}}, len(given)


def _validated(given: Any) -> Any:
    try:
        return _one.validate_python(given)
    except ValidationError:  # the schema says what is wrong, and where
        return given


def _read(path: Path) -> list[ClientKey]:
    try:
        found = read_file(path, _MAX_BYTES).splitlines()
    except OSError as error:
        raise ConfigError([f"{_SECTION}: {path} cannot be read ({error.strerror})"]) from None
    except ValueError as error:
        raise ConfigError([f"{_SECTION}: {error}"]) from None
    numbered = [(number, line) for number, line in enumerate(found, 1) if line.strip()]
    read = _one.validate_json
    keys = []
    for number, line in numbered:
        try:
            keys.append(read(line))
        except ValidationError as error:
            faults = [f"{_SECTION}: line {number} of {path.name}: {fault}" for fault in lines(error)]
            raise ConfigError(faults) from None
        given = _KEYS.findall(line)
        if len(set(given)) < len(given):  # pydantic takes the last of them
            twice = next(key for key in given if given.count(key) > 1).decode()
            raise ConfigError([f"{_SECTION}: line {number} of {path.name}: {twice}: given twice; remove one of them"])
    return keys
