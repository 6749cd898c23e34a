"""The `server` section of breakeven.yaml."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator

from breakeven.gateway.config.types import Seconds, Section


class Server(Section):
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0: any free port.")
    workers: int = Field(1, ge=1, le=64, description="Number of server processes.")
    max_body_bytes: int = Field(33_554_432, ge=1024, description="Largest request body in bytes; larger ones get 413.")
    max_body_values: int = Field(
        200_000,
        ge=1000,
        description="How many values the arrays and objects of a JSON body may have together; more get 400. Ten times "
        "as many at the paths of further models, whose bodies are passed on unread.",
    )
    max_bodies_bytes: int = Field(
        268_435_456,
        ge=1024,
        description="How many bytes the bodies of all running requests of a process may have together; while they have "
        "more, a body that has not wholly arrived gets 503.",
    )
    head_seconds: Seconds = Field(
        10.0,
        description="Read timeout for the request headers, of a new connection too; after it: 408, and it is closed.",
    )
    read_seconds: Seconds = Field(60.0, description="Read timeout for the body; after it: 408.")
    max_connections: int | None = Field(
        None,
        ge=16,
        description="How many connections of clients a process may have; for another one the oldest without a request "
        "is closed, and where all have one it waits. null: half of the files that the process may open, less 128.",
    )
    max_connections_per_peer: int | None = Field(
        None,
        ge=1,
        description="How many of them one IP address may have; for another one its oldest without a request is "
        "closed, and where all have one it gets 503. null: no limit, since a proxy in front is one address.",
    )
    cors_origins: list[str] = Field(
        [], description="Browser origins allowed by CORS, such as https://app.example.com; empty: CORS is off."
    )
    allowed_hosts: list[str] = Field(
        [],
        description="Host names under which clients reach a gateway without auth.keys, besides localhost, IP addresses "
        "and names without a dot; without ports.",
    )
    drain_seconds: Annotated[float, Field(ge=0.0, le=31_536_000.0, allow_inf_nan=False)] = Field(
        60.0, description="Graceful shutdown: time that running requests get to finish after SIGTERM."
    )

    @field_validator("cors_origins")
    @classmethod
    def _exact_origins(cls, value: list[str]) -> list[str]:
        for origin in value:
            if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s/?#@*]+", origin):
                raise ValueError("must be exact origins without a path, such as https://app.example.com")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _names_of_hosts(cls, value: list[str]) -> list[str]:
        if not all(re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", host) for host in value):
            raise ValueError("must be exact host names without a scheme or port, such as gateway.example.com")
        return [host.lower() for host in value]
