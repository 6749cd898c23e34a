"""Counting the student's replicas from vLLM's metrics and from Prometheus."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from breakeven.gateway.config.hosting import HostingObserved
from breakeven.gateway.errors import NotObserved
from breakeven.gateway.upstreams.replicas import Replica, Sample, read_prometheus, read_vllm, sample
from tests.support.processes import free_port
from tests.support.replicas import MetricsServer, metrics_of_vllm


def look(*urls: str, seconds: float = 5.0, **settings: Any) -> Sample:
    return asyncio.run(sample(HostingObserved(vllm_metrics=list(urls), **settings), seconds))


def test_the_metrics_of_vllm() -> None:
    assert read_vllm(metrics_of_vllm()) == Replica(False, 0.0)
    assert read_vllm(metrics_of_vllm(2.0, 1625.0, 300.0)) == Replica(True, 1925.0)
    # Two engines of one server, and a model whose name has braces and spaces in it.
    both = metrics_of_vllm(0.0, 5.0) + 'vllm:num_requests_running{engine="1",model_name="a } b"} 1.0\n'
    assert read_vllm(both) == Replica(True, 5.0)
    assert read_vllm("vllm:num_requests_running 3\n") == Replica(True, 0.0)


@pytest.mark.parametrize(
    "text",
    ["", "<html>vllm:num_requests_running</html>", "python_info 1.0\n", "vllm:num_requests_running{} x\n"],
)
def test_other_text_is_not_a_replica(text: str) -> None:
    assert read_vllm(text) is None


def answer(kind: str, result: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


def test_the_answers_of_prometheus() -> None:
    assert read_prometheus(answer("vector", [{"metric": {}, "value": [1795579661.9, "3"]}])) == 3
    assert read_prometheus(answer("vector", [{"metric": {}, "value": [1795579661.9, "0"]}])) == 0
    assert read_prometheus(answer("scalar", [1795579661.9, "1.5"])) == 1.5


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (answer("vector", []), "gives no series"),
        (answer("vector", [{"value": [0, "1"]}, {"value": [0, "2"]}]), r"gives 2 series; put sum\(\) around it"),
        (answer("scalar", [0, "NaN"]), "not negative and gives nan"),
        (answer("scalar", [0, "-1"]), "not negative and gives -1"),
        (b'{"status": "error", "error": "parse error: unexpected end"}', "is refused: parse error"),
        (b"<html>login</html>", "not Prometheus'; check prometheus_url"),
        (b"[]", "not Prometheus'"),
    ],
)
def test_an_answer_that_is_no_number(body: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_prometheus(body)


def test_a_replica_that_refuses_connections_is_down() -> None:
    with MetricsServer() as one, MetricsServer(metrics_of_vllm(1.0, 10.0)) as two:
        seen = look(one.url, two.url)
        assert (seen.replicas, seen.busy) == (2, 1)
        two.stop()
        assert (look(one.url, two.url).replicas, look(one.url, two.url).busy) == (1, 0)
        one.stop()
        assert look(one.url, two.url) == Sample(0, 0, {})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda server: setattr(server, "status", 503), r"vllm_metrics\[1\]: answers with status 503"),
        (lambda server: setattr(server, "body", "python_info 1.0"), "answers without vLLM's series"),
    ],
)
def test_a_wrong_answer_is_not_zero_replicas(spoil: Callable[[MetricsServer], None], said: str) -> None:
    with MetricsServer() as one, MetricsServer() as two:
        spoil(two)
        with pytest.raises(NotObserved, match=said):
            look(one.url, two.url)


def test_a_timeout_is_not_zero_replicas() -> None:
    with socket.socket() as silent, MetricsServer() as one:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(NotObserved, match=r"vllm_metrics\[0\]: does not answer within 0.2 s"):
            look(f"http://127.0.0.1:{silent.getsockname()[1]}/metrics", one.url, seconds=0.2)


def test_a_name_that_does_not_resolve_is_not_zero_replicas() -> None:
    with pytest.raises(NotObserved, match="host name cannot be resolved"):
        look("http://student.invalid:8000/metrics")


def test_each_address_of_a_name_is_a_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver of a headless service, for which this machine has no name server."""
    addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.1"]

    async def resolve(self: object, host: str, port: int, **_: object) -> list[Any]:
        assert host == "student-pods"
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]
        return [*found, (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))]

    with MetricsServer() as one:
        monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", resolve)
        url = f"http://student-pods:{one.port}/metrics"
        assert look(url).replicas == 1, "nobody listens on the second address: that replica is down"
        addresses[1:] = []
        seen = look(url, f"{url}/")
        assert seen.replicas == 2, "two different paths"
        assert one.asked == 3


def test_which_replicas_may_have_processed_tokens() -> None:
    before = Sample(
        4, 1, {"a": Replica(False, 5), "b": Replica(True, 5), "c": Replica(False, 5), "d": Replica(False, 5)}
    )
    after = Sample(3, 0, {"a": Replica(False, 5), "b": Replica(False, 5), "c": Replica(False, 9)})
    assert before.active(after) == 3  # b had a request, c wrote tokens, and what d did before it ended is not known
    assert Sample(2, 1, None).active(Sample(2, 1, None)) is None


def prometheus(**settings: Any) -> HostingObserved:
    return HostingObserved(replicas_query="sum(up)", **settings)


def test_prometheus_over_http() -> None:
    body = answer("vector", [{"metric": {}, "value": [0, "3"]}]).decode()
    with MetricsServer(body) as server:
        url = f"http://127.0.0.1:{server.port}/prefix/"
        assert asyncio.run(sample(prometheus(prometheus_url=url), 5.0)) == Sample(3, None, None)
        busy = prometheus(prometheus_url=url, busy_query="count(vllm:num_requests_running > 0) or vector(0)")
        assert asyncio.run(sample(busy, 5.0)) == Sample(3, 3, None)
        server.status = 401
        with pytest.raises(NotObserved, match="prometheus_url: answers with status 401"):
            asyncio.run(sample(busy, 5.0))
        server.status, server.body = 400, '{"status": "error", "error": "bad"}'
        with pytest.raises(NotObserved, match="replicas_query: is refused: bad"):
            asyncio.run(sample(busy, 5.0))


def test_a_prometheus_that_refuses_connections_is_not_zero_replicas() -> None:
    with pytest.raises(NotObserved, match="prometheus_url: refuses connections"):
        asyncio.run(sample(prometheus(prometheus_url=f"http://127.0.0.1:{free_port()}"), 5.0))
