"""What every driver asks its client, run by the client's own Python: `python drive_X.py SNIPPET`.

A driver runs the snippet, which is the documentation's with the address of the gateway put in, and goes on with its
objects. It prints one JSON object: for each way of asking (such as `chat` and `responses`) the results by name. It
imports nothing of this repository.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import runpy
import sys
from collections.abc import Callable, Mapping
from typing import Any

EASY = "What is the capital of France?"
HARD = "Find the eigenvalues of the matrix [[2,1],[1,2]] and solve the integral of x^2 e^x."
WEATHER = "What is the weather in Paris and in London?"
HARD_WEATHER = f"{HARD} {WEATHER}"
CITY = "Name a city and its country."
REFUSED = "Please refuse this."
CUT = "Please break off in the middle."

# The cities that the tool was called with.
called: list[str] = []


def weather_in(city: str) -> str:
    """What the drivers' tool does."""
    called.append(city)
    return f"{city}: {'rain' if city == 'London' else 'sun'}"


def snippet() -> dict[str, Any]:
    """The names that the snippet defines; what it prints goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        return runpy.run_path(sys.argv[1])


async def _result(function: Callable[..., Any], *arguments: Any) -> Any:
    found = function(*arguments)
    return await found if inspect.isawaitable(found) else found


async def _failure(function: Callable[..., Any], *arguments: Any) -> Any:
    """Names of the classes of the exception that the client raises, and its status."""
    try:
        found = await _result(function, *arguments)
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return {"kinds": kinds, "status": getattr(error, "status_code", None), "text": str(error)[:300]}
    return {"kinds": [], "answer": found}


async def _run(ways: Mapping[str, Any]) -> dict[str, Any]:
    results = {}
    for name, way in ways.items():
        called.clear()
        results[name] = {
            "plain": await _result(way.ask, EASY),
            "difficult": await _result(way.ask, HARD),
            "stream": await _result(way.stream, EASY),
            "tools": await _result(way.tools, WEATHER),
            "tools_difficult": await _result(way.tools, HARD_WEATHER),
            "called": sorted(called),
            "structured": await _result(way.structured, CITY),
            "refused": await _failure(way.ask, REFUSED),
            "cut": await _failure(way.stream, CUT),
            "unknown": await _failure(way.ask, EASY, "gpt-4"),
        }
    return results


def main(ways: Mapping[str, Any]) -> None:
    """Run all checks. A way has `ask(text, model="auto")`, `stream(text)`, `tools(text)` and `structured(text)`,
    each a function or a coroutine function."""
    print(json.dumps(asyncio.run(_run(ways))))
