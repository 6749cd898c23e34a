"""Peers that command memory or stop the loop, and clients of other habits: the contract tests of each, with figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from functools import partial

from tests.attack.result import Attack, Result, Setting
from tests.contract import test_client_habits as habits
from tests.contract import test_hostile_peers as peers
from tests.contract.gateway import Gateway, chat, running

Case = Callable[[Gateway], object]


def _contained(name: str, setting: Setting, cases: Iterable[tuple[str, Case]]) -> Result:
    """Run the cases one after the other on one gateway; memory and the waits of others are those of the worst case."""
    failed, gained, waits, count = [], 0, [], 0
    with running(setting.folder, log_level="warning") as gateway:
        assert gateway.post(chat()).status == 200
        for title, case in cases:
            gateway.student.clear()
            gateway.teacher.clear()
            count += 1
            with peers.Watched(gateway) as seen:
                try:
                    case(gateway)
                except (AssertionError, OSError, EOFError):
                    failed.append(title)
            gained = max(gained, seen.gained)
            waits.append(statistics.quantiles([*seen.waits, *seen.waits], n=100)[98])
    figures = {
        "contained": f"{count - len(failed)} of {count}",
        "most memory gained": f"{gained / peers.MB:.0f} MB",
        "others' p99": f"{max(waits) * 1000:.0f} ms",
    }
    if failed:
        figures["not contained"] = ", ".join(failed)
    return Result(name, not failed, figures)


def memory(setting: Setting) -> Result:
    """Strangers and upstreams that send what would be kept: trailers, extensions of chunks, answers without an end."""
    cases: list[tuple[str, Case]] = [
        ("extensions", peers.test_extensions_of_chunks_are_not_kept),
        ("a client that still sends", peers.test_a_refusal_reaches_a_client_that_is_still_sending),
        ("an upstream's trailers", peers.test_trailers_of_an_upstream_are_not_kept),
        ("long ids", peers.test_long_ids_of_responses_are_not_remembered),
        ("silent clients", peers.test_a_client_that_says_nothing_keeps_nothing),
    ]
    trailers, endless = peers.test_trailers_are_not_kept, peers.test_an_upstream_without_an_end
    paths = ("/healthz", "/v1/chat/completions", "/v1/models", "/metrics", "/nothing")
    cases += [(f"trailers {path}", partial(trailers, path=path)) for path in paths]
    cases += [(f"{kind} without end", partial(endless, kind=kind)) for kind in peers.ENDLESS]
    return _contained("memory", setting, cases)


def loop_stops(setting: Setting) -> Result:
    """Bodies and streams that would keep the event loop from everybody else."""
    refused = peers.test_a_body_of_too_many_values_is_refused_and_nobody_waits
    turns = peers.test_a_stream_of_many_events_lets_others_have_their_turn
    cases: list[tuple[str, Case]] = [(kind, partial(refused, kind=kind)) for kind in peers.hard_bodies()]
    cases += [(kind, partial(turns, kind=kind)) for kind in peers.FLOODS]
    return _contained("loop_stops", setting, cases)


def other_habits(setting: Setting) -> Result:
    """Offers of other protocols, HTTP/1.0, bytes behind a request, hosts, bytes that are no UTF-8."""
    cases: list[tuple[str, Case]] = [
        ("HTTP/1.0", habits.test_http_1_0_gets_no_chunks),
        ("an offer and chunks", habits.test_an_offer_with_a_chunked_body_and_at_other_paths),
    ]
    offered = habits.test_an_offer_of_another_protocol_is_ignored
    behind = habits.test_bytes_behind_a_request_do_not_take_its_answer_away
    hosts = habits.test_a_request_has_exactly_one_host
    undecodable = partial(habits.test_bytes_of_an_upstream_that_are_no_utf_8, text=b"\xff\xfe")
    cases += [(f"offer of {offer}", partial(offered, offer=offer, cut=20)) for offer in habits.OFFERS]
    cases += [("bytes behind", partial(behind, behind=it)) for it in (b"garbage\r\n\r\n", b"\x16\x03\x01\x02\x00")]
    cases += [("hosts", partial(hosts, hosts=it, path=b"GET /healthz")) for it in ((), (b"host: a", b"host: b"))]
    cases += [
        ("no UTF-8", partial(undecodable, endpoint="/v1/chat/completions", stream=stream)) for stream in (False, True)
    ]
    return _contained("other_habits", setting, cases)


ATTACKS: dict[str, Attack] = {one.__name__: one for one in (memory, loop_stops, other_habits)}
