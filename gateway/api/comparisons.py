"""/admin/comparisons: how the student's and the teacher's answers to the same requests scored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Security

from breakeven.gateway.api.errors import documented
from breakeven.gateway.api.reading import Before, from_ledger
from breakeven.gateway.api.route import ApiRoute, Now
from breakeven.gateway.api.security import admin_key
from breakeven.gateway.api.traffic_schemas import (
    ComparedPair,
    ComparedPairs,
    ComparisonDetails,
    JudgeVerdict,
    Message,
)
from breakeven.gateway.errors import RequestError
from breakeven.gateway.ledger.conversations import Pair
from breakeven.gateway.road.judges import verdict_of

router = APIRouter(
    prefix="/admin/comparisons", tags=["admin"], route_class=ApiRoute, dependencies=[Security(admin_key)]
)


@router.get("", responses=documented(400, 401, 404, 503))
async def list_comparisons(
    now: Now,
    limit: Annotated[int, Query(ge=1, le=500, description="At most so many.")] = 50,
    before: Before = None,
    workload: Annotated[str | None, Query(description="Only those of this workload.")] = None,
    result: Annotated[
        Literal["student", "teacher", "tie"] | None, Query(description="Only those whose better answer by score is it.")
    ] = None,
) -> ComparedPairs:
    """List comparisons of the student with the teacher, the newest first; 20,000 are searched at most."""
    rows = await from_ledger(now, lambda: now.ledger.inspection.compared(limit, before, workload, result))
    return ComparedPairs(
        comparisons=[ComparedPair(**row) for row in rows], next_before=rows[-1]["at"] if len(rows) == limit else None
    )


@router.get("/{request}", responses=documented(401, 404, 503))
async def get_comparison(
    request: Annotated[str, Path(max_length=32, description="The ledger's id of the client's request.")], now: Now
) -> ComparisonDetails:
    """Show one comparison, with both answers where the conversation is stored."""

    def read() -> ComparisonDetails:
        rows = now.ledger.inspection.compared(1, request=request)
        if not rows:
            raise RequestError(
                404,
                "No answers to this request were compared.",
                param="request",
                code="comparison_not_found",
            )
        asked = now.ledger.judged_pairs.asked(request)
        judged = now.ledger.judged_pairs.verdicts_on(request)
        verdicts = {} if judged is None else judged.judges
        return ComparisonDetails(
            comparison=ComparedPair(**rows[0]),
            judges=[_said(name, letters) for name, letters in sorted(verdicts.items())],
            **_texts(None if asked is None else asked.pair),
        )

    return await from_ledger(now, read)


def _said(judge: str, letters: str) -> JudgeVerdict:
    winner, consistent = verdict_of(letters)
    return JudgeVerdict(judge=judge, verdict=winner, consistent=consistent)


def _texts(pair: Pair | None) -> dict[str, Any]:
    if pair is None:
        return {"messages": [], "student_answer": None, "teacher_answer": None}
    return {
        "messages": messages(pair),
        "student_answer": pair.student.shown,
        "teacher_answer": pair.teacher.shown,
    }


def messages(pair: Pair) -> list[Message]:
    """The conversation of a pair, as documented."""
    return [Message(role=one.get("role", ""), content=one.get("content", "")) for one in pair.messages]
