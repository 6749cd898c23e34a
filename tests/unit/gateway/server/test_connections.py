"""Which connection goes first where there are as many as there may be."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from breakeven.gateway.config.server import Server
from breakeven.gateway.observability.server import ServerMetrics
from breakeven.gateway.server.connections import Connections, most_connections


@dataclass(eq=False)
class One:
    peer: str
    idle_since: float | None
    silent: bool = True
    left: bool = False

    def leave(self) -> None:
        self.left = True


def idle(peer: str) -> One:
    return One(peer, time.monotonic() - 60)


def opened(connections: Connections, *ones: One) -> None:
    for one in ones:
        connections.opened(one)


def limited(most: int, per_peer: int | None = None) -> Connections:
    return Connections(most, per_peer, ServerMetrics(CollectorRegistry()))


def test_the_oldest_silent_one_of_the_peer_with_most_goes_first() -> None:
    connections = limited(5)
    first, busy, spoken = idle("a"), One("b", None), idle("c")
    many = [idle("b"), idle("b")]
    opened(connections, first, busy, spoken, *many)
    connections.spoke(spoken)
    assert connections.make_room()
    assert [one.left for one in (first, busy, spoken, *many)] == [False, False, False, True, False]
    # There is room now.
    assert connections.make_room()
    assert not many[1].left


def test_those_that_spoke_go_after_the_silent_and_the_busy_and_the_new_never() -> None:
    connections = limited(3)
    busy, new, spoken = One("a", None), One("a", time.monotonic()), idle("a")
    opened(connections, busy, new, spoken)
    connections.spoke(spoken)
    assert connections.make_room()
    assert spoken.left
    opened(connections, One("b", None))
    assert not connections.make_room()
    assert not busy.left
    assert not new.left


def test_a_peer_at_its_limit_loses_one_of_its_own() -> None:
    connections = limited(100, per_peer=2)
    others, own, busy = idle("b"), idle("a"), One("a", None)
    opened(connections, others, own, busy)
    assert connections.admits("a")
    assert own.left
    assert not others.left
    opened(connections, One("a", None))
    assert not connections.admits("a")
    assert connections.admits("b")
    connections.closed(busy)
    assert connections.admits("a")


def test_connections_follow_from_files_unless_the_config_says_fewer() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        assert most_connections(Server()) == (1024 - 128) // 2
        assert most_connections(Server(max_connections=100)) == 100
        assert most_connections(Server(max_connections=100_000)) == (1024 - 128) // 2
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
