"""The sections of breakeven.yaml on who may use the gateway: client keys and the operators' key."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from typing import Literal

from pydantic import ConfigDict, Field, PrivateAttr, field_validator
from pydantic.dataclasses import dataclass

from breakeven.gateway.config.types import Section, Usd

WORKLOAD = r"^[A-Za-z0-9_.-]{1,64}$"


# A client that sends an empty key would have the first one. The others are what a shell makes of an empty variable:
# nobody could send such a key, since white space is cut off.
_OF_NOTHING = frozenset(
    hashlib.sha256(text).hexdigest() for text in (b"", b"\n", b"\r\n", b"\r", b" ", b" \n", b"\t", b"\0", b"\n\n")
)


# With slots, since there may be 100,000: a `Section` takes five times the memory.
@dataclass(slots=True, frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ClientKey:
    """One of `auth.keys`."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Name of the key in the ledger and the log.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the key, in lower-case hex.")
    requests_per_minute: int | None = Field(
        default=None, ge=1, description="Maximum requests per minute; above it: 429."
    )
    tokens_per_minute: int | None = Field(default=None, ge=1, description="Maximum tokens per minute; once used: 429.")
    monthly_budget_usd: Usd | None = Field(default=None, description="Budget in USD per calendar month (UTC).")
    over_budget: Literal["refuse", "student"] = Field(
        default="refuse", description="After the budget is spent: `refuse` with 429, or serve from the `student` only."
    )
    may_pin: bool = Field(default=True, description="Whether it may choose the upstream by its name; else: 403.")
    may_override: bool = Field(default=True, description="Whether it may set a threshold with `auto@`; else: 403.")
    teacher: bool = Field(
        default=True,
        description="Whether it may reach the teacher at all; else the student answers, or 403 where it cannot.",
    )
    max_output_tokens: int | None = Field(
        default=None,
        ge=1,
        description="The most output tokens that it may ask for in one answer; above it: 403, and requests that name "
        "no limit get this one. null: any.",
    )
    models: list[str] | None = Field(
        default=None, description="The model names that it may send, `auto` for requests without one; null: all."
    )
    store: bool = Field(
        default=True,
        description="Whether its prompts and conversations may be stored, where `ledger` says so, and its answers be "
        "compared; else only usage and cost are kept.",
    )
    workload: str | None = Field(
        default=None,
        pattern=WORKLOAD,
        description="Workload of requests that name none with `x-breakeven-workload`; null: `default`.",
    )

    @field_validator("sha256")
    @classmethod
    def _of_a_key(cls, value: str) -> str:
        if value in _OF_NOTHING:
            raise ValueError("is the SHA-256 of an empty key or of white space; hash the key itself")
        return value

    @property
    def restricted(self) -> bool:
        """Whether there is anything that the key may not ask for."""
        return not (self.may_pin and self.may_override and self.teacher and self.models is None)

    @property
    def limited(self) -> bool:
        """Whether the key has any limit, so that its usage must be counted."""
        return (
            self.requests_per_minute is not None
            or self.tokens_per_minute is not None
            or self.monthly_budget_usd is not None
        )


class Auth(Section):
    keys: list[ClientKey] = Field([], description="Client API keys; empty: no keys, loopback addresses only.")
    keys_file: str | None = Field(
        None,
        description="File with further keys, one JSON object per line with the same keys as in `auth.keys`, which is "
        "read and watched as the config is, and quicker to read; null: none.",
    )
    unknown_ids: Literal["refuse", "pass"] = Field(
        "refuse",
        description="With several keys: what becomes of requests that name a stored response, or an item of one, that "
        "the gateway has not seen being made. `refuse`: 404, as it may be another key's; `pass`: on to the upstream.",
    )

    # How many of `keys` the config has itself, where those of a file follow.
    _own_keys: int | None = PrivateAttr(None)

    @field_validator("keys")
    @classmethod
    def _names_differ(cls, value: list[ClientKey]) -> list[ClientKey]:
        names = [key.name for key in value]
        if len(set(names)) != len(names):
            raise ValueError("two keys have the same name")
        hashes: dict[str, str] = {}
        for key in value:
            other = hashes.setdefault(key.sha256, key.name)
            if other != key.name:
                raise ValueError(f"{other} and {key.name} have the same sha256, so one would get the other's limits")
        return value

    @functools.cached_property
    def by_hash(self) -> Mapping[str, ClientKey]:
        """The keys by SHA-256 in hex."""
        return {key.sha256: key for key in self.keys}

    @functools.cached_property
    def by_name(self) -> Mapping[str, ClientKey]:
        """The keys by name."""
        return {key.name: key for key in self.keys}

    @functools.cached_property
    def budgeted(self) -> bool:
        """Whether any key has a budget."""
        return any(key.monthly_budget_usd is not None for key in self.keys)


class Admin(Section):
    key_env: str = Field(
        "BREAKEVEN_ADMIN_KEY", description="Name of the environment variable with the admin key; not set: no /admin."
    )
    metrics_key_env: str | None = Field(
        None, description="Name of the environment variable with the key that /metrics demands; null: none."
    )
    console_key_env: str | None = Field(
        None, description="Name of the environment variable with the key that /console demands; null: none."
    )
