"""Paths in the config, which are relative to its folder."""

from __future__ import annotations

from pathlib import Path

from breakeven.gateway.errors import ConfigError


def resolved(folder: Path, given: str, key: str) -> Path:
    """The path that a key of the config gives, `~` being the home of a user. Raises ConfigError for an unknown user."""
    try:
        return folder / Path(given).expanduser()
    except RuntimeError:
        raise ConfigError([f"{key}: {given.partition('/')[0]} is no user's home; write the whole path"]) from None
