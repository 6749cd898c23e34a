"""The prices of a model from a file in the format of LiteLLM: a JSON object of models, USD for one token.

Every price is converted exactly. Multipliers are rounded to a millionth, since some lists have tiers at five thirds.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from breakeven.gateway.config.price_numbers import MILLION, exact, multiplier
from breakeven.gateway.config.prices import SERVICE_TIERS
from breakeven.gateway.errors import ConfigError
from breakeven.router.files import read_file

_INPUT, _OUTPUT = "input_cost_per_token", "output_cost_per_token"
_REASONING = "output_cost_per_reasoning_token"
_MAX_BYTES = 1 << 26
# Keys of `Prices` to fields of the file.
_FIELDS = {
    "input": _INPUT,
    "output": _OUTPUT,
    "cached_input": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "audio_input": "input_cost_per_audio_token",
    "audio_output": "output_cost_per_audio_token",
}
_OF_PROMPTS = (_INPUT, *(_FIELDS[name] for name in ("cached_input", "cache_write", "cache_write_1h")))
_CONTEXT = re.compile(r"(?:input|output)_cost_per_token(_above_(\d+)k_tokens)")
_SEARCHES = "search_context_cost_per_query"
_SEARCH = "search_context_size_medium"  # what is searched with where a request does not say
_REQUESTS = "input_cost_per_query"
# What else a file may charge for, which is not counted.
_NOT_COUNTED = re.compile(r"(in|out)put_cost_per_(second|character|image|pixel|page|(video|audio)_per_second)")


def read_prices(path: Path, model: str, section: str) -> dict[str, Any]:
    """The prices of `model` in the file, as a value of `usd_per_million`: USD per million tokens. `section` is the key
    of the section that names the file, for messages.

    Raises ConfigError for a file that cannot be read, a model that is not in it, and a price that cannot be held
    exactly.
    """
    name, entry = _entry(path, model, section)
    return _Entry(name, entry, section).prices()


def read_model_prices(path: Path, model: str, section: str) -> tuple[dict[str, Any], Decimal | None]:
    """The same for a further model, whose answers may cost nothing by the token; beside it the price of a request in
    USD, None where the file has none. Raises ConfigError as `read_prices` does, and for a price of something else.
    """
    name, entry = _entry(path, model, section)
    found = _Entry(name, entry, section)
    return found.prices(of_answers=False), found.of_a_request()


def _entry(path: Path, model: str, section: str) -> tuple[str, Mapping[str, Any]]:
    """The name and the fields of the model's entry."""
    fault = partial(_fault, section)
    try:
        content = read_file(path, _MAX_BYTES)
    except OSError as error:
        raise fault(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise fault(f"{path} cannot be read: {error}") from None
    try:
        document = json.loads(content.decode("utf-8"), parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError) as error:
        raise fault(f"{path} is not valid JSON ({error})") from None
    if not isinstance(document, dict):
        raise fault(f"{path} must be a JSON object of models and their prices")
    name = _find(document, model, path, section)
    entry = document[name]
    if not isinstance(entry, dict):
        raise fault(f"{name}: must be an object of prices")
    return name, entry


def _find(document: Mapping[str, Any], model: str, path: Path, section: str) -> str:
    """The entry's name: the model's own, or without its provider, or the one that ends in it after a provider's."""
    for name in (model, model.rpartition("/")[2]):
        if name in document:
            return name
    prefixed = [name for name in document if name.endswith(f"/{model}")]
    costs = [_costs(document[name]) for name in prefixed]
    if prefixed and all(one == costs[0] for one in costs):
        return prefixed[0]
    if prefixed:
        shown = ", ".join(prefixed[:5])
        raise _fault(
            section, f"{path} has several prices for {model} ({shown}); choose one with {section}.prices_model"
        )
    close = difflib.get_close_matches(model, document, 3, 0.5)
    hint = f"; closest: {', '.join(close)}" if close else ""
    raise _fault(section, f"{path} has no model {model}{hint}")


def _costs(entry: object) -> object:
    return {key: value for key, value in entry.items() if "cost" in key} if isinstance(entry, dict) else entry


class _Entry:
    """The prices of one model in the file."""

    def __init__(self, name: str, fields: Mapping[str, Any], section: str) -> None:
        self._name = name
        self._fields = fields
        self._section = section

    def of_a_request(self) -> Decimal | None:
        """USD for a request; None where it costs nothing beside its tokens. Raises ConfigError for other prices."""
        for field, value in self._fields.items():
            if _NOT_COUNTED.match(field) and value:
                raise self._fault(field, "is not counted; give usd_per_million and usd_per_request instead")
        return (
            exact(self._number(_REQUESTS), 1, "USD", partial(self._fault, _REQUESTS)) if self._has(_REQUESTS) else None
        )

    def prices(self, *, of_answers: bool = True) -> dict[str, Any]:
        """All of them as a value of the config; what the file does not say is left out. `of_answers`: a price of what
        the model answers must be there.
        """
        for field in (_INPUT, _OUTPUT) if of_answers else ():
            if self._fields.get(field) is None:
                raise self._fault(field, "missing; the model is not billed by the token")
        if self._has(_REASONING) and self._number(_REASONING) != self._number(_OUTPUT):
            raise self._fault(_REASONING, f"differs from {_OUTPUT}, and reasoning is counted at that price")
        found: dict[str, Any] = {key: self._per_million(field) for key, field in _FIELDS.items() if self._has(field)}
        found["service_tiers"] = {
            tier: self._service_tier(tier) if self._has(f"{_INPUT}_{tier}") else usual
            for tier, usual in SERVICE_TIERS.items()
        }
        found["context_tiers"] = self._context_tiers()
        searches = self._fields.get(_SEARCHES)
        if isinstance(searches, dict) and searches.get(_SEARCH) is not None:
            each = self._checked(searches[_SEARCH], _SEARCHES)
            found["usd_per_web_search"] = exact(each, 1, "USD", partial(self._fault, _SEARCHES))
        return found

    def _service_tier(self, tier: str) -> Decimal:
        return self._multiplier(self._in_tier((*_OF_PROMPTS, _OUTPUT), f"_{tier}"), f"_{tier}")

    def _context_tiers(self) -> list[dict[str, Any]]:
        matches = {match[1]: int(match[2]) for match in map(_CONTEXT.fullmatch, self._fields) if match}
        tiers = []
        for suffix, thousands in sorted(matches.items(), key=lambda one: one[1]):
            kinds = (self._in_tier(fields, suffix) for fields in (_OF_PROMPTS, (_OUTPUT,)))
            of_input, of_output = (self._multiplier(fields, suffix) for fields in kinds)
            tiers.append({"above_prompt_tokens": thousands * 1000, "input": of_input, "output": of_output})
        return tiers

    def _in_tier(self, fields: Sequence[str], suffix: str) -> list[str]:
        """Those with a price in the tier and a plain one, which it is a multiple of."""
        return [field for field in fields if self._has(field + suffix) and self._has(field)]

    def _multiplier(self, fields: list[str], suffix: str) -> Decimal:
        """By how much the `fields` with this suffix are dearer; 1 for none. Raises ConfigError where they differ."""

        def fault(names: str, message: str) -> ConfigError:
            hint = f"remove them from the file if this tier is not used, or give {self._section}.usd_per_million"
            return self._fault(names, f"{message}; {hint}")

        prices = {field + suffix: (self._number(field + suffix), self._number(field)) for field in fields}
        return multiplier(prices, fault)

    def _per_million(self, field: str) -> Decimal:
        fault = partial(self._fault, field)
        return exact(self._number(field), MILLION, "USD per million tokens", fault)

    def _has(self, field: str) -> bool:
        return self._fields.get(field) is not None

    def _number(self, field: str) -> Decimal:
        return self._checked(self._fields.get(field), field)

    def _checked(self, value: object, field: str) -> Decimal:
        if not isinstance(value, Decimal) or value < 0:
            raise self._fault(field, "must be a number of USD, 0 or more")
        return value

    def _fault(self, field: str, message: str) -> ConfigError:
        return _fault(self._section, f"{self._name}: {field}: {message}")


def _fault(section: str, message: str) -> ConfigError:
    return ConfigError([f"{section}.prices_file: {message}"])
