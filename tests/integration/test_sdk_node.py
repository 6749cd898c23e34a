"""The official OpenAI SDK for Node with the gateway and a real vLLM."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.asks import QUESTION, SCHEMA, TOOLS
from tests.support import processes
from tests.support.real import Vllm, node_modules

MODELS = {"student": "student", "teacher": "teacher", "auto@1.0": "student", "auto@0.0": "teacher"}
SCRIPT = Path(__file__).with_name("sdk_node.cjs")


@pytest.fixture(scope="module")
def modules() -> Path:
    return node_modules()


@pytest.fixture(scope="module")
def running(modules: Path, vllm: Vllm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Gateway]:
    """A gateway for this module only, so that its ledger holds no other requests."""
    config = processes.make_config(vllm.base_url, vllm.base_url)
    with processes.gateway(tmp_path_factory.mktemp("gateway"), config) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def results(modules: Path, running: processes.Gateway) -> dict[str, Any]:
    """The output of sdk_node.cjs."""
    asks = running.folder / "asks.json"
    asks.write_text(json.dumps({"models": [*MODELS], "question": QUESTION, "tools": TOOLS, "schema": SCHEMA}))
    done = subprocess.run(
        ["node", str(SCRIPT), running.base_url, str(asks)],
        capture_output=True,
        text=True,
        env={**os.environ, "NODE_PATH": str(modules)},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def text(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


def streamed(chunks: list[dict[str, Any]]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


@pytest.mark.parametrize("model", MODELS)
class TestEachModel:
    def test_plain(self, results: dict[str, Any], model: str) -> None:
        assert text(results[model]["plain"]) != ""
        assert results[model]["plain"]["usage"]["completion_tokens"] > 0
        assert results[model]["route"] == MODELS[model]

    def test_stream(self, results: dict[str, Any], model: str) -> None:
        chunks = results[model]["stream"]
        assert streamed(chunks) == text(results[model]["plain"])
        assert all(chunk["choices"] and chunk.get("usage") is None for chunk in chunks)

    def test_stream_with_usage(self, results: dict[str, Any], model: str) -> None:
        *chunks, last = results[model]["stream_with_usage"]
        assert streamed(chunks) == text(results[model]["plain"])
        assert last["choices"] == []
        for count in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert last["usage"][count] == results[model]["plain"]["usage"][count]

    @pytest.mark.parametrize("name", ["tools", "tools_stream"])
    def test_tools(self, results: dict[str, Any], model: str, name: str) -> None:
        [call] = results[model][name]["choices"][0]["message"]["tool_calls"][:1]
        assert call["function"]["name"] == "get_weather"
        assert json.loads(call["function"]["arguments"])["city"] in ("Paris", "London")

    def test_json_schema(self, results: dict[str, Any], model: str) -> None:
        assert json.loads(text(results[model]["json_schema"]))["city"] in ("Paris", "London")

    def test_logprobs(self, results: dict[str, Any], model: str) -> None:
        answer = results[model]["logprobs"]
        tokens = answer["choices"][0]["logprobs"]["content"]
        assert len(tokens) == answer["usage"]["completion_tokens"]
        assert all(len(token["top_logprobs"]) == 2 for token in tokens)

    def test_two_choices(self, results: dict[str, Any], model: str) -> None:
        assert sorted(choice["index"] for choice in results[model]["two"]["choices"]) == [0, 1]


def test_models(results: dict[str, Any]) -> None:
    assert set(results["models"]) == {"auto", "student", "teacher", "teacher-model"}


def test_an_unknown_model(results: dict[str, Any]) -> None:
    error = results["unknown_model"]
    assert (error["kind"], error["status"], error["code"]) == ("NotFoundError", 404, "model_not_found")


@pytest.mark.parametrize("name", ["refused", "refused_stream"])
def test_an_error_from_vllm(results: dict[str, Any], name: str) -> None:
    assert (results[name]["kind"], results[name]["status"]) == ("BadRequestError", 400)


def test_counts(results: dict[str, Any], running: processes.Gateway) -> None:
    """The usage returned to the SDK equals that in the ledger and in /metrics."""
    metrics, report = running.metrics(), running.report()
    for side in ("student", "teacher"):
        usages = []
        for model in (name for name, route in MODELS.items() if route == side):
            seen = results[model]
            whole = ("plain", "tools", "tools_stream", "json_schema", "logprobs", "two")
            usages += [seen[name].get("usage") for name in whole]
            # These two responses carry no usage; it is that of the same request made in another way.
            usages[whole.index("tools_stream") - len(whole)] = seen["tools"]["usage"]
            usages += [seen["stream_with_usage"][-1]["usage"], seen["plain"]["usage"]]
        prompt = sum(usage["prompt_tokens"] for usage in usages)
        output = sum(usage["completion_tokens"] for usage in usages)
        cached = sum(usage["prompt_tokens_details"]["cached_tokens"] for usage in usages)
        tokens = {"input": prompt - cached, "cached_input": cached, "cache_write": 0, "output": output}
        assert report["upstreams"][side]["tokens"] == tokens
        for kind, count in tokens.items():
            assert metrics[f'breakeven_tokens_total{{kind="{kind}",upstream="{side}"}}'] == count
