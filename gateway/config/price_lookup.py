"""Reading the prices that the teacher's sections name a file or package for, before the config is validated."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from breakeven.gateway.config.price_file import read_prices
from breakeven.gateway.config.price_package import read_package
from breakeven.gateway.config.prices import PRICED_BY
from breakeven.gateway.errors import ConfigError

# The keys of a section that reading its prices resolves.
_REPLACED = ("prices_file", "prices_package", "prices_provider", "prices_model", "usd_per_million")
# As the faults of prices name the keys of a section.
_KEY = re.compile(r"\bteacher\.(?=prices_|price_changes|usd_per_million|base_url)")


def with_prices(document: dict[str, Any], folder: Path) -> tuple[dict[str, Any], list[str | None]]:
    """The document with the prices that the files or packages of `teacher` and its fallbacks have, and the source of
    each in words, the teacher's first, None where it has none. What is wrong otherwise is left to the schema.
    """
    teacher = document.get("teacher")
    if not isinstance(teacher, dict):
        return document, [None]
    priced, source = _priced(teacher, folder)
    sources = [source]
    given = teacher.get("fallbacks")
    if isinstance(given, list):
        fallbacks = []
        for index, one in enumerate(given):
            found, source = _priced_at(one, folder, f"teacher.fallbacks[{index}]")
            fallbacks.append(found)
            sources.append(source)
        priced = {**priced, "fallbacks": fallbacks}
    return document | {"teacher": priced}, sources


def _priced_at(section: Any, folder: Path, key: str) -> tuple[Any, str | None]:
    """One section with its prices; `key` is its path in the file. Raises ConfigError that names it."""
    try:
        return _priced(section, folder)
    except ConfigError as error:
        raise ConfigError([_KEY.sub(f"{key}.", fault) for fault in error.faults]) from None


def _priced(section: Any, folder: Path) -> tuple[Any, str | None]:
    if not isinstance(section, dict) or sum(section.get(name) is not None for name in PRICED_BY) != 1:
        return section, None
    file, package = section.get("prices_file"), section.get("prices_package")
    model, provider = section.get("prices_model") or section.get("model"), section.get("prices_provider")
    if not isinstance(model, str) or not isinstance(provider, str | None):
        return section, None
    found: dict[str, Any]
    if isinstance(file, str) and provider is None:
        path = folder / Path(file).expanduser()
        found = {"usd_per_million": read_prices(path, model)}
        source = f"{file} of {datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d}: {model}"
    elif isinstance(package, str):
        prices, changes, source = read_package(
            package, provider, model, str(section.get("base_url")), datetime.now(UTC).date()
        )
        if changes and section.get("price_changes"):
            raise ConfigError(
                [
                    "teacher.price_changes: prices_package already has announced changes of this model; remove these, "
                    "or give usd_per_million"
                ]
            )
        found = {"usd_per_million": prices, **({"price_changes": changes} if changes else {})}
    else:
        return section, None
    others = {name: value for name, value in section.items() if name not in _REPLACED}
    return {**others, **found}, source
