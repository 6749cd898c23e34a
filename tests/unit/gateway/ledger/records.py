"""Records for the ledger's tests; run as a program, settles records until it is killed."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

from breakeven.gateway.accounting.prices import FREE, Cost
from breakeven.gateway.accounting.record import AttemptRecord, Endpoint, Outcome, RequestRecord
from breakeven.gateway.accounting.usage import NO_USAGE, Usage
from breakeven.gateway.ledger import Ledger
from breakeven.router.policy import Reason, Route


def record(
    *,
    id: str | None = None,
    at: int = 0,
    route: Route = Route.TEACHER,
    pinned: bool = False,
    prompt: int = 10,
    cached: int = 4,
    output: int = 5,
    money: int = 1_000_000,
    baseline: int = 1_000_000,
    key: str | None = None,
    reason: Reason = Reason.EASY,
    complete: bool = True,
    attempts: int = 1,
    workload: str = "default",
    provider: str = "",
) -> RequestRecord:
    """One settled request; of several attempts all but the last failed and cost nothing."""
    paid = FREE if route is Route.STUDENT else Cost(money - 3, 1, 2) if money > 3 else Cost(money, 0, 0)
    failed = AttemptRecord(route.other, Outcome.UPSTREAM_ERROR, 503, NO_USAGE, FREE, None, 0.1)
    answered = AttemptRecord(
        route, Outcome.OK, 200, Usage(prompt, cached, output, complete), paid, 0.1, 0.2, provider=provider
    )
    of_student = baseline if route is Route.STUDENT and not pinned else 0
    return RequestRecord(
        id=id or uuid.uuid4().hex,
        request_id="caller-chose-this",
        at=at,
        endpoint=Endpoint.CHAT_COMPLETIONS,
        key=key,
        stream=False,
        route=route,
        reason=reason,
        pinned=pinned,
        score=0.25,
        threshold=0.5,
        novelty=None,
        artifact="0123456789ab",
        outcome=Outcome.OK,
        status=200,
        attempts=(*(failed for _ in range(attempts - 1)), answered),
        baseline=0 if pinned else baseline,
        router_seconds=0.001,
        overhead_seconds=0.002,
        seconds=0.3,
        baseline_input=of_student // 4,
        baseline_output=of_student // 2,
        workload=workload,
    )


def settle_forever(url: str, journal: Path) -> None:
    """Settle records and print the id of each once `settle` has returned."""
    ledger = Ledger.open(url, journal=journal)
    while True:
        one = record()
        ledger.settle(one)
        sys.stdout.write(one.id + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    settle_forever(sys.argv[1], Path(sys.argv[2]))
