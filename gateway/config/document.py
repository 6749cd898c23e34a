"""Reading the config's file as YAML: bounded in size and depth, without keys that are given twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from breakeven.gateway.config.yaml_values import values
from breakeven.gateway.errors import ConfigError
from breakeven.router.files import read_file

# 100,000 client keys take about 12 MB.
_MAX_BYTES = 1 << 25
# Of the parser in C, which does not say which character: a tab is not seen.
_WORDS = {
    "found character that cannot start any token": "a tab, or one of @ ` %, where a value or a key begins; write "
    "spaces in place of tabs, and quotes around such a value"
}


def read_document(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds. Raises ConfigError, which names the file and the place in it."""
    try:
        text = read_file(path, _MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 (byte {error.start + 1}); save it in that encoding"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror}); give the config with --config"]) from None
    except ValueError as error:
        raise ConfigError([f"{path}: {error}; give the config with --config"]) from None
    try:
        document = values(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or "a character"
        raise ConfigError([f"{path}: {where}not valid YAML ({_WORDS.get(problem, problem)})"]) from None
    except Exception as error:
        # What Python or the YAML reader raise for a value that they cannot hold: a date that is none, an odd tag.
        raise ConfigError([f"{path}: a date or a number in it cannot be read ({short(error)}); correct it"]) from None
    if not isinstance(document, dict):
        raise ConfigError([f"{path}: must be a mapping with at least the key teacher"])
    return document


def short(error: Exception) -> str:
    """What a library said, without the rest of it."""
    return str(error).partition(";")[0][:100] or type(error).__name__
