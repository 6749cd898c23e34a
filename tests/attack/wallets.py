"""Clients with a key that want more than their budget: many requests at once, and streams that they hang up on."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.attack.result import Attack, Result, Setting
from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import DONE, End, Head, Send, Sleep, delta, usage_chunk

# What the scripted teacher's answer costs: 10 tokens at 10 and 3 at 20 USD per million.
ANSWER_USD = 160e-6
AFFORDED, ASKED = 10, 100
MOST_TIMES = 1.1
# 50 tokens of each are delivered before its client hangs up.
HUNG_UP, TOKENS = 30, 50
AS_KEY = {"authorization": "Bearer secret"}
SSE = {"content-type": "text/event-stream"}


def _key(budget: float) -> dict[str, object]:
    hashed = hashlib.sha256(b"secret").hexdigest()
    return {"auth": {"keys": [{"name": "one", "sha256": hashed, "monthly_budget_usd": f"{budget:.6f}"}]}}


def _spent(gateway: Gateway) -> float:
    cost = "cost_input + cost_cached_input + cost_cache_write + cost_output + cost_tools"
    rows = gateway.rows(f"select sum({cost} + cost_estimated) from attempts")
    return int(rows[0][0] or 0) / 1e12


def budget_at_once(setting: Setting) -> Result:
    """A hundred requests at once under a budget for ten."""
    with running(setting.folder, _key(AFFORDED * ANSWER_USD), log_level="warning") as gateway:
        last = delta("b", finish="stop") + usage_chunk() + DONE
        gateway.teacher.default(Head(200, SSE), Send(delta("a")), Sleep(1.0), Send(last), End())

        def ask(_: int) -> int:
            return gateway.post(chat(model="teacher", stream=True, max_tokens=3), AS_KEY).status

        with ThreadPoolExecutor(ASKED) as pool:
            statuses = Counter(pool.map(ask, range(ASKED)))
        eventually(lambda: gateway.metrics()["breakeven_ledger_pending"] == 0, 30)
        times = _spent(gateway) / (AFFORDED * ANSWER_USD)
    figures = {
        "answered": str(statuses[200]),
        "refused": str(statuses[429]),
        "spent of the budget": f"{times:.1f} times",
    }
    return Result("budget_at_once", 0 < times <= MOST_TIMES, figures)


def hang_ups(setting: Setting) -> Result:
    """Streams of the teacher that clients leave before the usage is reported: what they got is counted."""
    with running(setting.folder, _key(1.0), log_level="warning") as gateway:
        tokens = [Send(delta("word ")) for _ in range(TOKENS)]
        gateway.teacher.default(Head(200, SSE), *tokens, Sleep(5.0), End())
        body = b'{"model": "teacher", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
        for _ in range(HUNG_UP):
            with contextlib.suppress(OSError, EOFError), gateway.connect() as client:
                client.request("POST", "/v1/chat/completions", body, AS_KEY)
                got = b""
                for part in client.segments(client.head()[1]):
                    got += part
                    if got.count(b"word ") >= TOKENS:
                        break
        found = gateway.rows
        eventually(lambda: found("select count(*) from attempts")[0][0] >= HUNG_UP, 30)
        spent = _spent(gateway)
    delivered = HUNG_UP * TOKENS * 20e-6
    figures = {
        "delivered": f"{delivered * 1000:.1f} thousandths of a USD",
        "in the ledger": f"{spent * 1000:.1f} thousandths",
        "unseen": f"{max(0.0, 1 - spent / delivered):.0%}",
    }
    return Result("hang_ups", spent >= 0.9 * delivered, figures)


ATTACKS: dict[str, Attack] = {one.__name__: one for one in (budget_at_once, hang_ups)}
