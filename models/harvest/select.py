"""Why a kept conversation is worth training on: what says that the student lacks it, or else how it was decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from breakeven.gateway.accounting.usage import NO_USAGE
from breakeven.models.client.chat import Message, Reply
from breakeven.models.data.dataset import state_of
from breakeven.models.data.formats import surrogate
from breakeven.models.data.prompts import Prompt, fault_of, key_of
from breakeven.models.data.rows import fault_in
from breakeven.models.harvest.kept import Kept

# What says that the student lacks something, the strongest first.
LOST, FEEDBACK, ESCALATED, DIFFICULT, NOVEL = LACKS = ("lost", "feedback", "escalated", "difficult", "novel")
OTHER = "other"
_DECIDED = frozenset({ESCALATED, DIFFICULT, NOVEL})
# A user's score below it is a bad one.
_GOOD = 0.5
_GIVEN = ("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format")


class Candidate(NamedTuple):
    """A conversation with the teacher's answer as a row of a dataset.

    `reason` is one of LACKS, or the reason of the decision. `loss` is how much worse the student's answer was, in
    [-1, 1], where it was compared, and `weight` the inverse of the probability of that. `cost` is what the answer cost
    in picodollars, None where no usage was reported. `held_out`: see `side`.
    """

    kept: Kept
    row: dict[str, Any]
    reason: str
    held_out: bool
    loss: float | None
    weight: float
    cost: int | None

    @property
    def lacks(self) -> bool:
        """Whether something says that the student lacks it."""
        return self.reason in LACKS


class Selected(NamedTuple):
    """`candidates`, the newest first; `rejected` rows, each with its `reason`; and prompts that are `unanswered`."""

    candidates: list[Candidate]
    rejected: list[dict[str, Any]]
    unanswered: list[dict[str, Any]]


def select(kept: Sequence[Kept], eval_share: float) -> Selected:
    """What can be learned from kept conversations. `eval_share` in [0, 1) is held out.

    Comparisons count where they are of the student that was compared last in its workload. A conversation whose student
    gave an answer that a user found bad, and the teacher none, is an unanswered prompt.
    """
    newest = _newest(kept)
    answered = {one.request for one in kept if one.by_teacher}
    found = Selected([], [], [])
    for one in sorted(kept, key=lambda one: (-one.at, one.request)):
        if one.by_teacher:
            _add(found, one, newest.get(one.workload), eval_share)
        elif one.request not in answered and _bad(one, on_teacher=False):
            row = {"id": one.request, "messages": plain(one.document.get("messages")), "category": one.workload}
            if surrogate(row) is None and fault_of(row) is None:
                found.unanswered.append(row)
    return found


def side(messages: Sequence[Message], share: float) -> str:
    """`train` or `eval`: a hash of the conversation up to the first thing that the user said decides. All of its turns
    are on one side for ever, whatever else is harvested, and a prompt of `generate` is on the same.
    """
    end = next((number for number, one in enumerate(messages, 1) if one["role"] == "user"), len(messages))
    begun = [{"role": str(one["role"]), "content": str(one.get("content") or "")} for one in messages[:end]]
    return Prompt("", key_of(begun), [], {}).split(share)


def plain(messages: Any) -> list[dict[str, Any]]:
    """Messages with contents that are only parts of text as one text each."""
    found = []
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content")
        if isinstance(content, list) and content and all(_is_text(part) for part in content):
            message = {**message, "content": "\n".join(part["text"] for part in content)}
        found.append(message)
    return found


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _add(found: Selected, one: Kept, newest: str | None, eval_share: float) -> None:
    row = _row(one)
    fault = _fault(one, row)
    if fault is not None:
        found.rejected.append({**row, "reason": fault})
        return
    loss = None
    if one.student_version == newest and one.student_score is not None and one.teacher_score is not None:
        loss = one.teacher_score - one.student_score
    held_out = side(row["messages"], eval_share) == "eval"
    reason = _reason(one, loss)
    found.candidates.append(
        Candidate(one, {**row, "reason": reason}, reason, held_out, loss, one.weight or 1.0, one.document.get("cost"))
    )


def _row(one: Kept) -> dict[str, Any]:
    """The row in the format that `train` and `evaluate` read. An earlier answer may be the student's own, so that it
    has weight 0, as in the files of OpenAI's fine-tuning.
    """
    document = one.document
    messages = [
        {**message, "weight": 0} if message.get("role") == "assistant" else message
        for message in plain(document.get("messages"))
    ]
    answer = dict(document.get("answer") or {"role": "assistant", "content": ""})
    row: dict[str, Any] = {"id": one.request, "messages": [*messages, answer]}
    row |= {name: document[name] for name in _GIVEN if document.get(name) is not None}
    row |= {"category": one.workload, "teacher_model": document.get("version") or document.get("model")}
    if isinstance(document.get("usage"), Mapping):
        row["teacher_usage"] = document["usage"]
    return row


def _fault(one: Kept, row: dict[str, Any]) -> str | None:
    """Why a row is none to learn from, or None."""
    if _bad(one, on_teacher=True):
        return "bad feedback on the teacher's answer"
    answer = row["messages"][-1]
    text = answer.get("content") or ""
    state = state_of(Reply(text, None, one.document.get("finish"), NO_USAGE, 0.0, None, None))
    if state != "ok" and not (state == "empty" and answer.get("tool_calls")):
        return state
    return surrogate(row) or fault_in(row)


def _bad(one: Kept, *, on_teacher: bool) -> bool:
    return one.feedback is not None and one.feedback < _GOOD and one.on_teacher is on_teacher


def _reason(one: Kept, loss: float | None) -> str:
    if loss is not None and loss > 0:
        return LOST
    if _bad(one, on_teacher=False):
        return FEEDBACK
    decided = str(one.document.get("reason"))
    hold = str(one.document.get("hold"))
    return hold if decided == "sticky" and hold in _DECIDED else decided


def _newest(kept: Iterable[Kept]) -> dict[str, str]:
    """The version of the student that was compared last, by workload."""
    found: dict[str, tuple[int, str]] = {}
    for one in kept:
        if one.student_version is not None and one.at >= found.get(one.workload, (0, ""))[0]:
            found[one.workload] = (one.at, one.student_version)
    return {workload: version for workload, (_, version) in found.items()}
