"""Reading the prices that sections name a file or package for, before the config is validated."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from breakeven.gateway.config.paths import resolved
from breakeven.gateway.config.price_file import read_model_prices, read_prices
from breakeven.gateway.config.price_package import Wanted, read_package
from breakeven.gateway.config.prices import PRICED_BY

# The keys of a section that reading its prices resolves.
_REPLACED = ("prices_file", "prices_package", "prices_provider", "prices_model", "usd_per_million")


def with_prices(document: dict[str, Any], folder: Path) -> tuple[dict[str, Any], list[str | None]]:
    """The document with the prices that the files or packages of `teacher`, its fallbacks and `models` have, and the
    source of each in words, in this order, None where it has none. What is wrong otherwise is left to the schema.
    """
    sources: list[str | None] = []

    def priced(section: Any, key: str, *, further: bool = False) -> Any:
        found, source = _priced(section, folder, key, further=further)
        sources.append(source)
        return found

    found = dict(document)
    teacher = found["teacher"] = priced(document.get("teacher"), "teacher")
    given = teacher.get("fallbacks") if isinstance(teacher, dict) else None
    if isinstance(given, list):
        fallbacks = [priced(one, f"teacher.fallbacks[{index}]") for index, one in enumerate(given)]
        found["teacher"] = {**teacher, "fallbacks": fallbacks}
    models = document.get("models")
    if isinstance(models, list):
        found["models"] = [priced(one, f"models[{index}]", further=True) for index, one in enumerate(models)]
    return (found if "teacher" in document else document), sources


def _priced(section: Any, folder: Path, key: str, *, further: bool) -> tuple[Any, str | None]:
    """One section with its prices and their source. Raises ConfigError, which names the key below that of the section,
    `key`.
    """
    if not isinstance(section, dict) or sum(section.get(name) is not None for name in PRICED_BY) != 1:
        return section, None
    file, package = section.get("prices_file"), section.get("prices_package")
    model = section.get("prices_model") or section.get("model") or section.get("name")
    provider = section.get("prices_provider")
    if not isinstance(model, str) or not isinstance(provider, str | None):
        return section, None
    found: dict[str, Any]
    each = None
    if isinstance(file, str) and provider is None:
        path = resolved(folder, file, f"{key}.prices_file")
        if further:
            prices, each = read_model_prices(path, model, key)
        else:
            prices = read_prices(path, model, key)
        found = {"usd_per_million": prices}
        source = f"{file} of {datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d}: {model}"
    elif isinstance(package, str):
        wanted = Wanted(key, model, provider, str(section.get("base_url")), further)
        prices, changes, source, each = read_package(package, wanted, datetime.now(UTC).date())
        if changes and section.get("price_changes"):
            raise wanted.fault(
                "prices_package already has announced changes of this model; remove these, or give usd_per_million",
                "price_changes",
            )
        found = {"usd_per_million": prices, **({"price_changes": changes} if changes else {})}
    else:
        return section, None
    if each is not None and section.get("usd_per_request") is None:
        found["usd_per_request"] = each
    if further:
        # A model that is paid by the request may have no price of tokens.
        for prices in (found["usd_per_million"], *found.get("price_changes", ())):
            prices.update({kind: prices.get(kind, 0) for kind in ("input", "output")})
    others = {name: value for name, value in section.items() if name not in _REPLACED}
    return {**others, **found}, source
