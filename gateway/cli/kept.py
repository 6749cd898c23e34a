"""The conversations in the ledger, for `breakeven distill harvest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from breakeven.gateway.cli.options import parse_moment
from breakeven.gateway.config.load import load_config

if TYPE_CHECKING:
    from breakeven.models.harvest.kept import Kept


def kept_conversations(config: Path, workload: str | None, since: str | None) -> list[Kept]:
    """The stored conversations of a workload, None for all, from `since` on (a date or time), oldest first.

    Raises ValueError for a bad `since`, ConfigError and LedgerError.
    """
    from breakeven.gateway.ledger.kept import BY_TEACHER
    from breakeven.gateway.ledger.opening import read_ledger
    from breakeven.models.harvest.kept import Kept

    start = parse_moment("--since", since)
    with read_ledger(load_config(config)) as ledger:
        found = ledger.conversations.kept(workload, start)
    return [
        Kept(
            request=one.request,
            by_teacher=one.kind == BY_TEACHER,
            at=one.at,
            workload=one.workload,
            document=one.document,
            student_score=one.student_score,
            teacher_score=one.teacher_score,
            weight=one.weight,
            student_version=one.student_version,
            feedback=one.feedback,
            on_teacher=None if one.feedback_on is None else one.feedback_on == BY_TEACHER,
        )
        for one in found
    ]
