"""Values of the environment in the config: `${NAME}` in a text, and variables that stand in place of a key.

Both are for what differs between machines, such as addresses. Secrets are named by `api_key_env` and the like instead,
since `breakeven check` prints what is here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Of variables that stand in place of a key: BREAKEVEN__STUDENT__BASE_URL is student.base_url.
PREFIX = "BREAKEVEN__"
_REFERENCE = re.compile(r"\$(\$)?\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def with_environment(document: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The document with `${NAME}` and `${NAME:-default}` replaced, and with the keys that PREFIX variables give.

    Each value is a text, of which validation makes a number where one is wanted; `$${` stands for `${`. Raises
    ValueError, with the path of the key, for a variable that is not set and has no default, and for one that names no
    key of a section.
    """
    replaced: dict[str, Any] = _replaced(document, (), environment)
    for name in sorted(environment):
        if name.startswith(PREFIX):
            _put(replaced, name, environment[name])
    return replaced


# The path of a value: that of the value around it, with a key or an index. As a text only where it is said.
_Path = tuple[Any, ...]


def _replaced(value: Any, path: _Path, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(inner, (path, key), environment) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, (path, index), environment) for index, inner in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def of(match: re.Match[str]) -> str:
        literal, name, default = match.groups()
        if literal:
            return match[0][1:]
        found = environment.get(name) or default
        if found is None:
            raise ValueError(
                f"{_said(path)}: the environment variable {name} is not set; export it, or write ${{{name}:-a default}}"
            )
        return found

    return _REFERENCE.sub(of, value)


def _said(path: _Path) -> str:
    if not path:
        return ""
    around, part = _said(path[0]), path[1]
    if isinstance(part, int):
        return f"{around}[{part}]"
    return f"{around}.{part}" if around else str(part)


def _put(document: dict[str, Any], name: str, text: str) -> None:
    keys = name.removeprefix(PREFIX).lower().split("__")
    section = document
    for depth, key in enumerate(keys[:-1]):
        inner = section.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ValueError(
                f"{'.'.join(keys[: depth + 1])}: no section, so that {name} cannot set a key of it; unset it"
            )
        section = inner
    section[keys[-1]] = text
