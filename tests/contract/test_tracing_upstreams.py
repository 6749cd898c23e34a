"""Traces of requests to further models and to other providers of the teacher."""

from __future__ import annotations

from pathlib import Path

from tests.contract.fallback_net import net
from tests.contract.further import with_models
from tests.contract.gateway import chat
from tests.contract.scripted import answer, error_answer
from tests.contract.test_tracing import spans_of
from tests.support.collector import Collector, attributes_of


def test_a_further_model_has_spans_and_an_exemplar(tmp_path: Path) -> None:
    with Collector() as collector:
        changes = {"tracing": {"otlp_endpoint": collector.url}}
        with with_models(tmp_path, changes) as (gateway, upstream):
            upstream.script(*answer({"results": []}))
            response = gateway.post({"model": "ranks", "query": "a"}, path="/v1/rerank")
            _, (attempt,) = spans_of(collector, response, 1)
            assert attributes_of(attempt)["gen_ai.request.model"] == "ranks"
            assert "could not be traced" not in gateway.log.read_text()


def test_an_attempt_names_the_model_of_its_own_provider(tmp_path: Path) -> None:
    with Collector() as collector, net(tmp_path, {"tracing": {"otlp_endpoint": collector.url}}) as found:
        found.teacher.script(*error_answer(503))
        response = found.post(chat(model="teacher"))
        assert response.headers["x-breakeven-provider"] == "eu"
        _, attempts = spans_of(collector, response, 2)
        assert [attributes_of(one)["gen_ai.request.model"] for one in attempts] == ["big", "big-eu"]
