"""The prices of a model from the package genai-prices, whose data are inside it: nothing is fetched.

A price that the gateway cannot count as the provider does is refused, so that no cost is wrong without a word.
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from breakeven.gateway.config.price_numbers import exact, multiplier
from breakeven.gateway.config.prices import SERVICE_TIERS
from breakeven.gateway.errors import ConfigError

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

PACKAGE = "genai-prices"
_INPUT, _OUTPUT, _SEARCH = "input_mtok", "output_mtok", "web_searches_kcount"
# Keys of `Prices` to prices of the package, USD per million tokens.
_FIELDS = {
    "input": _INPUT,
    "output": _OUTPUT,
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
}
_OF_ANSWERS = frozenset({_OUTPUT, "output_audio_mtok"})
# Counted at the price of all output, so that another price of their own would be ignored.
_SAME_AS_OUTPUT = ("output_reasoning_mtok", "output_citation_mtok")
# Charged for every request beside its tokens.
_REQUESTS = "requests_kcount"
_NOT_BY_TOKEN = (_REQUESTS, "input_text_messages_kcount", "input_mchars")
_DECIMALS = 12
_Amounts = Mapping[str, tuple[Decimal, Mapping[int, Decimal]]]


class PackagePrices(NamedTuple):
    """What the package knows of one model.

    `prices` is a value of `usd_per_million`, `changes` of `price_changes`: announced ones. `source` says in words where
    they are from: package, version, date, provider and model. `of_a_request`: USD of today beside its tokens, only of a
    further model, None without.
    """

    prices: dict[str, Any]
    changes: list[dict[str, Any]]
    source: str
    of_a_request: Decimal | None = None


class Wanted(NamedTuple):
    """Whose prices are looked up: the section's `key`, for messages, its model, and its provider by the package's name,
    None for the one whose API is at `base_url`. `further`: it is a further model, whose requests may have a price.
    """

    key: str
    model: str
    provider: str | None
    base_url: str
    further: bool = False

    def fault(self, message: str, of: str = "prices_package") -> ConfigError:
        """The error for a fault of this key of the section."""
        return ConfigError([f"{self.key}.{of}: {message}"])

    @property
    def hint(self) -> str:
        """What else may give the prices."""
        return f"give {self.key}.usd_per_million or {self.key}.prices_file"


def read_package(name: str, wanted: Wanted, today: datetime.date) -> PackagePrices:
    """The prices of a model on `today` and announced changes, from the installed package `name`.

    Raises ConfigError where the package is not installed, does not know the model, or has a price that cannot be
    counted.
    """
    if name != PACKAGE:
        raise wanted.fault(f"{name} is not a package that prices can be read from; use {PACKAGE}")
    try:
        from genai_prices import __version__
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        raise wanted.fault(f"{PACKAGE} is not installed; install it with: pip install 'breakeven[prices]'") from None
    title = f"{PACKAGE} {__version__}"
    providers = get_snapshot().providers
    seller, model = _provider(providers, wanted, title), wanted.model
    named = (one for one in seller.models if one.id == model)
    found = next(named, None) or seller.find_model(model, all_providers=providers)
    if found is None:
        close = difflib.get_close_matches(model, [one.id for one in seller.models], 3, 0.5)
        hint = f" (closest: {', '.join(close)})" if close else ""
        raise wanted.fault(
            f"{title} has no model {model} of {seller.id}{hint}; name one with {wanted.key}.prices_model, "
            f"or {wanted.hint}"
        )
    dated = _Dated(found, f"{seller.id} {found.id}", wanted)
    newest = max((day for one in providers for each in one.models for day in _days(each) if day <= today), default=None)
    ignored = dated.ignored(today)
    unread = f"; not read: {', '.join(ignored)}" if ignored else ""
    source = f"{title}, whose newest price is of {newest}: {found.id} of {seller.id}{unread}"
    prices, changes = dated.schedule(today)
    return PackagePrices(prices, changes, source, dated.of_a_request(today) if wanted.further else None)


def _provider(providers: list[Provider], wanted: Wanted, title: str) -> Provider:
    from genai_prices.data_snapshot import find_provider_by_id, get_snapshot

    name = wanted.provider
    if name is not None:
        named = find_provider_by_id(providers, name)
        if named is None:
            close = difflib.get_close_matches(name, [one.id for one in providers], 3, 0.5)
            hint = f"; closest: {', '.join(close)}" if close else ""
            raise wanted.fault(f"{title} has no provider {name}{hint}", "prices_provider")
        return named
    try:
        return get_snapshot().find_provider(None, None, wanted.base_url)
    except LookupError:
        having = [one.id for one in providers if one.find_model(wanted.model) is not None]
        shown = f", such as {', '.join(having[:5])}, which have this model" if having else ""
        raise wanted.fault(
            f"{title} has no provider at {wanted.key}.base_url; name one with {wanted.key}.prices_provider{shown}"
        ) from None


def _days(model: ModelInfo) -> Iterator[datetime.date]:
    """The days on which a price of the model begins to hold."""
    from genai_prices.types import StartDateConstraint

    dated = model.prices if isinstance(model.prices, list) else []
    for one in (*dated, *(model.price_variants or ())):
        if isinstance(one.constraint, StartDateConstraint):
            yield one.constraint.start_date


class _Dated:
    """The prices of one model over time. `name` is for messages."""

    def __init__(self, model: ModelInfo, name: str, wanted: Wanted) -> None:
        self._model = model
        self._name = name
        self._wanted = wanted

    def of_a_request(self, today: datetime.date) -> Decimal | None:
        """USD for a request of today; None where it costs nothing beside its tokens."""
        found = _amounts(self._model.get_prices(_midnight(today))).get(_REQUESTS)
        return self._exact(_REQUESTS, found[0] / 1000, "USD") if found is not None else None

    def schedule(self, today: datetime.date) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The prices of today, and those of later days that differ from the ones before."""
        from genai_prices.types import TimeOfDateConstraint

        priced = self._model.prices if isinstance(self._model.prices, list) else []
        for one in (*priced, *(self._model.price_variants or ())):
            if isinstance(one.constraint, TimeOfDateConstraint):
                raise self._fault("the price depends on the time of day, which cannot be represented")
        first = last = self._on(today)
        changes = []
        for day in sorted({day for day in _days(self._model) if day > today}):
            then = self._on(day)
            if then != last:
                changes.append({"since": _midnight(day), **then})
                last = then
        return first, changes

    def ignored(self, today: datetime.date) -> list[str]:
        """The package's names of prices that are not read, since they are for uses that the gateway does not count."""
        known = {*_FIELDS.values(), *_SAME_AS_OUTPUT, *_NOT_BY_TOKEN, _SEARCH}
        prices = vars(self._model.get_prices(_midnight(today)))
        return [key for key, value in prices.items() if value is not None and key not in known]

    def _on(self, day: datetime.date) -> dict[str, Any]:
        at = _midnight(day)
        amounts = _amounts(self._model.get_prices(at))
        self._check(amounts)
        found: dict[str, Any] = {
            key: self._exact(field, amounts[field][0]) for key, field in _FIELDS.items() if field in amounts
        }
        if _SEARCH in amounts:
            found["usd_per_web_search"] = self._exact(_SEARCH, amounts[_SEARCH][0] / 1000, "USD")
        found["service_tiers"] = self._service_tiers(at, amounts)
        found["context_tiers"] = self._context_tiers(amounts)
        return found

    def _check(self, amounts: _Amounts) -> None:
        for field in () if self._wanted.further else (_INPUT, _OUTPUT):
            if field not in amounts:
                raise self._fault(f"{field} is missing; the model is not billed by the token")
        for field in _SAME_AS_OUTPUT:
            if field in amounts and amounts[field] != amounts.get(_OUTPUT):
                raise self._fault(f"{field} differs from {_OUTPUT}, and these tokens are counted at that price")
        for field in _NOT_BY_TOKEN:
            counted = self._wanted.further and field == _REQUESTS
            if field in amounts and amounts[field][0] and not counted:
                raise self._fault(f"{field} is charged beside the tokens, which cannot be represented")

    def _service_tiers(self, at: datetime.datetime, amounts: _Amounts) -> dict[str, Decimal]:
        """Those that the package has, and the usual ones."""
        tiers = dict(SERVICE_TIERS)
        for variant in self._model.price_variants or ():
            tier = variant.when.get("service_tier")
            if (
                tier in (None, "default")
                or len(variant.when) > 1
                or (variant.constraint and not variant.constraint.active(at))
            ):
                continue
            dearer = {key: price for key, (price, _) in _amounts(variant.prices).items()}
            tiers[tier] = self._of_tier(f"the tier {tier}", dearer, amounts)
        return tiers

    def _context_tiers(self, amounts: _Amounts) -> list[dict[str, Any]]:
        starts = sorted({start for field in _FIELDS.values() if field in amounts for start in amounts[field][1]})
        tiers = []
        for start in starts:
            # A price without tiers of its own stays as it is.
            above = {field: _above(start, *amounts[field]) for field in _FIELDS.values() if field in amounts}
            what = f"prompts above {start} tokens"
            of_input, of_output = (
                self._of_tier(
                    what, {key: price for key, price in above.items() if (key in _OF_ANSWERS) is answers}, amounts
                )
                for answers in (False, True)
            )
            tiers.append({"above_prompt_tokens": start, "input": of_input, "output": of_output})
        return tiers

    def _of_tier(self, what: str, dearer: Mapping[str, Decimal], amounts: _Amounts) -> Decimal:
        prices = {
            field: (dearer[field], amounts[field][0])
            for field in _FIELDS.values()
            if field in dearer and field in amounts
        }
        return multiplier(prices, lambda names, message: self._fault(f"{what}: {names} {message}"))

    def _exact(self, field: str, value: Decimal, unit: str = "USD per million tokens") -> Decimal:
        # Some prices of the package were computed with floats.
        return exact(round(value, _DECIMALS), 1, unit, lambda message: self._fault(f"{field}: {message}"))

    def _fault(self, message: str) -> ConfigError:
        return self._wanted.fault(f"{self._name}: {message}; {self._wanted.hint}")


def _amounts(prices: ModelPrice) -> dict[str, tuple[Decimal, dict[int, Decimal]]]:
    """Name of each price -> the plain one, and those above a number of prompt tokens."""
    from genai_prices.types import TieredPrices

    found: dict[str, tuple[Decimal, dict[int, Decimal]]] = {}
    for key, value in vars(prices).items():
        if isinstance(value, TieredPrices):
            found[key] = value.base, {tier.start: tier.price for tier in value.tiers}
        elif isinstance(value, Decimal):
            found[key] = value, {}
    return found


def _above(start: int, plain: Decimal, tiers: Mapping[int, Decimal]) -> Decimal:
    reached = [one for one in tiers if one <= start]
    return tiers[max(reached)] if reached else plain


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC)
