"""Client libraries that nobody here wrote: each asks a live gateway from a process of its own, with its own settings.

The models behind the gateway are scripted, so that calls of tools and errors come for certain.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.client_reference import ALL, CHAT, CLIENTS, MESSAGES, RESPONSES, Client
from tests.integration.clients import drivers
from tests.integration.clients.model import ScriptedModel
from tests.support import processes, real

# Ways of asking, each with all checks: the endpoint that it uses.
WAYS = {"chat": CHAT, "responses": RESPONSES}
OTHER_WAYS = {"vercel_ai": {"compatible": CHAT, **WAYS}, "anthropic_python": {"messages": MESSAGES}}
ENVIRONMENTS = {"llama_index": "llama-index", "anthropic_python": "anthropic"}
DRIVEN = {Path(client.snippet).stem: client for client in CLIENTS if client.test.endswith("test_clients.py")}
TEXT = "student says that it is Paris, né Lutetia."
# Between the scores of the easy and the difficult prompt of the drivers.
THRESHOLD = 0.5


class Ran:
    """A client that has run, with its gateway and models. `results` by way of asking."""

    def __init__(
        self, client: Client, gateway: processes.Gateway, models: tuple[ScriptedModel, ScriptedModel], results: Any
    ) -> None:
        self.client = client
        self.gateway = gateway
        self.models = models
        self.results: dict[str, dict[str, Any]] = results


def _drive(name: str, url: str, folder: Path) -> dict[str, Any]:
    if DRIVEN[name].snippet.endswith(".mjs"):
        return drivers.run_node(real.node_clients(), name, url, folder)
    return drivers.run_python(real.client_python(ENVIRONMENTS.get(name, "clients")), name, url, folder)


@pytest.fixture(scope="module", params=DRIVEN)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """Each client, run once."""
    name: str = request.param
    folder = tmp_path_factory.mktemp(name)
    with ScriptedModel("student") as student, ScriptedModel("teacher-model") as teacher:
        routing = {"threshold": THRESHOLD, "novelty_threshold": 1.0}
        config = processes.make_config(student.url, teacher.url, routing=routing)
        with processes.gateway(folder, config) as gateway:
            results = _drive(name, gateway.url, folder)
            gateway.metrics()
            yield Ran(DRIVEN[name], gateway, (student, teacher), results)


def test_every_way_of_asking_was_run(ran: Ran) -> None:
    ways = OTHER_WAYS.get(Path(ran.client.snippet).stem, WAYS)
    assert set(ran.client.endpoints) == set(ways.values())
    assert ran.client.checks == ALL
    assert ran.results.keys() == ways.keys()
    used = {f"/v1/{row[0].replace('_', '/')}" for row in ran.gateway.sql("SELECT DISTINCT endpoint FROM requests")}
    assert used == set(ways.values())


def test_answer(ran: Ran) -> None:
    assert {way["plain"] for way in ran.results.values()} == {TEXT}


def test_stream(ran: Ran) -> None:
    for way in ran.results.values():
        pieces = [piece for piece in way["stream"] if piece]
        assert "".join(pieces) == TEXT
        assert len(pieces) == 4


@pytest.mark.parametrize(("result", "model"), [("tools", "student"), ("tools_difficult", "teacher-model")])
def test_tools(ran: Ran, result: str, model: str) -> None:
    """Both calls of an answer are executed, and the model gets both results, at the upstream that made the calls."""
    for name, way in ran.results.items():
        assert way[result] == f"{model} heard: Paris: sun; London: rain", name
        assert way["called"] == ["London", "London", "Paris", "Paris"]


def test_schema(ran: Ran) -> None:
    for way in ran.results.values():
        assert way["structured"] == {"city": "Paris", "country": "text"}


def test_routed(ran: Ran) -> None:
    for name, way in ran.results.items():
        assert way["plain"].startswith("student "), name
        assert way["difficult"].startswith("teacher-model "), name
    rows = ran.gateway.sql("SELECT route, reason FROM requests WHERE outcome = 'ok'")
    assert {("student", "easy"), ("teacher", "difficult")} <= set(rows)
    assert {row[1] for row in rows} <= {"easy", "difficult", "sticky"}


def test_errors(ran: Ran) -> None:
    for name, way in ran.results.items():
        assert ran.client.refused in way["refused"]["kinds"], (name, way["refused"])
        assert way["refused"]["status"] == 400
        assert "The prompt is refused." in way["refused"]["text"]
        assert ran.client.cut in way["cut"]["kinds"], (name, way["cut"])
        assert "The connection to the student broke." in way["cut"]["text"]
        assert way["unknown"]["status"] == 404, way["unknown"]


def test_tokens(ran: Ran) -> None:
    for model, upstream in zip(ran.models, ("student", "teacher"), strict=True):
        counts = "count(*), sum(prompt_tokens), sum(cached_tokens), sum(output_tokens), min(usage_complete)"
        rows = ran.gateway.sql(f"SELECT {counts} FROM attempts WHERE upstream = '{upstream}' AND outcome = 'ok'")
        sums = (sum(getattr(usage, kind) for usage in model.reported) for kind in ("prompt", "cached", "output"))
        assert rows == [(len(model.reported), *sums, 1)]
    cut = ran.gateway.sql("SELECT usage_complete FROM attempts WHERE outcome = 'truncated'")
    assert cut == [(0,)] * len(ran.results)
