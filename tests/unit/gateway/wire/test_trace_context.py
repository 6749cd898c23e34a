"""Traceparent: what is continued, and what begins a new trace."""

from __future__ import annotations

import re

import pytest

from breakeven.gateway.wire.trace_context import begin, new_id

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True), ("fe", False)]
)
def test_the_clients_flag_decides(flags: str, sampled: bool) -> None:
    for ratio in (0.0, 1.0):
        trace = begin({"traceparent": f" 00-{TRACE}-{SPAN}-{flags} ", "tracestate": "a=1"}, ratio)
        assert (trace.hex, trace.parent, trace.state) == (TRACE, int(SPAN, 16), "a=1")
        assert trace.sampled is sampled


def test_each_call_gets_a_span_of_its_own() -> None:
    trace = begin({"traceparent": f"00-{TRACE}-{SPAN}-01"}, 1.0)
    sent = [trace.onward(), trace.onward()]
    assert [re.fullmatch(f"00-{TRACE}-([0-9a-f]{{16}})-01", one)[1] for one in sent] == [  # type: ignore[index]
        f"{span:016x}" for span in trace.attempts
    ]
    assert len({*trace.attempts, trace.span, trace.parent}) == 4


def test_the_ratio_is_drawn_for_new_traces() -> None:
    drawn = [begin({}, 0.25) for _ in range(4000)]
    assert 800 < sum(trace.sampled for trace in drawn) < 1200
    assert len({trace.id for trace in drawn}) == 4000
    assert all(trace.parent is None and not trace.state for trace in drawn)
    assert all(0 < new_id(64) < 1 << 64 for _ in range(100))
