"""The faults that pydantic finds in a config, in words for an operator: the path of the key, and what it must be.

The values are left out, since one may be a secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from breakeven.gateway.config.road import REPLACED

# Of one file; a list of a million wrong entries has as many.
_MOST = 50
_UNKNOWN = "unknown key; remove it or check its spelling"
_NUMBER = "must be a number"
_WHOLE = "must be a whole number"
_TEXT = "must be text; put quotes around it"
_MAPPING = "must be a mapping of keys to values"
_LIST = "must be a list"
_TIME = "must be a time, such as 2026-11-01T00:00:00Z"
# By the type of the fault, with the names of its context in braces.
_WORDS = {
    "extra_forbidden": _UNKNOWN,
    "unexpected_keyword_argument": _UNKNOWN,
    "missing": "missing; it has no default",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be {le:g} or less",
    "finite_number": "must be a finite number",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "decimal_parsing": _NUMBER,
    "decimal_max_digits": "must have at most {max_digits} digits",
    "decimal_max_places": "must have at most {decimal_places} decimals",
    "decimal_whole_digits": "must have at most {whole_digits} digits before the point",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": _TEXT,
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "is not written as it must be, which is, as a regular expression, {pattern}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "list_type": _LIST,
    "set_type": _LIST,
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "dataclass_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
}
# Keys that were replaced, with the new ones.
_REPLACED = {
    "shadow": "replaced by road; rename its keys: "
    + ", ".join(f"shadow.{old} is {key}" for old, key in REPLACED.items()),
}


def lines(error: ValidationError) -> Iterator[str]:
    """A line for each fault."""
    faults = error.errors(include_url=False, include_input=False)
    for fault in faults[:_MOST]:
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
        text = _REPLACED.get(path) if fault["type"] == "extra_forbidden" else None
        text = text or _text(fault)
        yield f"{path}: {text}" if path else text
    if len(faults) > _MOST:
        yield f"and {len(faults) - _MOST} faults more"


def _text(fault: Any) -> str:
    words = _WORDS.get(fault["type"])
    if words is None:
        return str(fault["msg"]).removeprefix("Value error, ")
    text = words.format_map(fault.get("ctx", {}))
    return text.replace("at least 1 entries", "at least one entry").replace("at least 1 characters", "some text")
