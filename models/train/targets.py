"""What a student is trained to write after a generation prompt: the thinking that is wanted, the answer, the end.

Prompts and targets are texts as the chat template renders them; each is tokenized by itself, as in serving the prompt
is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from breakeven.models.client.chat import Message
from breakeven.models.client.thoughts import CLOSE, OPEN
from breakeven.models.data.messages import spelt
from breakeven.models.data.rows import Example
from breakeven.models.errors import DistillError
from breakeven.models.train.templates import beginning

_CLOSED_BLOCK = re.compile(rf"\s*(?:{re.escape(OPEN)}.*?)?{re.escape(CLOSE)}\s*", re.DOTALL)
_OPEN_BLOCK = re.compile(rf"\s*{re.escape(OPEN)}\s*")


class Part(NamedTuple):
    """A piece of a sequence: its text, and the weight of its tokens in training; 0 for what is only read. `last`:
    whether it is the row's answer, to which stored log-probabilities belong.
    """

    text: str
    weight: float
    last: bool = False


class Turns(NamedTuple):
    """A row's messages with their weights, and what the template gets beside them."""

    id: str
    messages: list[Message]
    weights: list[float]
    tools: list[dict[str, Any]] | None


def turns_of(one: Example, *, reasoning: bool) -> Turns:
    """The turns of a row, with what was thought only if `reasoning`."""
    messages = [m if reasoning else {k: v for k, v in m.items() if k != "reasoning_content"} for m in one.turns()]
    return Turns(one.id, messages, one.weights(), one.asked().get("tools"))


def sequences(turns: Turns, tokenizer: Any) -> Iterator[list[Part]]:
    """The sequences to train on, each a list of parts whose texts follow each other.

    One sequence holds several turns if the template renders an earlier one as it was trained; else each turn with a
    weight has a sequence of its own, that begins as its prompt will in serving. Raises DistillError where the template
    cannot render the row.
    """
    parts: list[Part] = []
    for index, weight in enumerate(turns.weights):
        if weight <= 0 or index == 0:  # Nothing asks for a first turn.
            continue
        prompt = _render(turns, turns.messages[:index], tokenizer, prompt=True)
        target = _target(turns, index, prompt, tokenizer)
        before = "".join(part.text for part in parts)
        if parts and not prompt.startswith(before):
            yield parts
            parts, before = [], ""
        parts = [*parts, Part(prompt[len(before) :], 0.0), Part(target, weight, index + 1 == len(turns.messages))]
    if parts:
        yield parts


def _target(turns: Turns, index: int, prompt: str, tokenizer: Any) -> str:
    """What is to follow a prompt: thinking where it is wanted, a closed block where one was opened, answer and end."""
    message = turns.messages[index]
    lead, begun = beginning(prompt)
    whole = _render(turns, turns.messages[: index + 1], tokenizer, prompt=False)
    body = _after(lead, whole)
    if body is None:  # The template renders a finished answer differently from the start of a new one.
        body = str(message["content"])
    body, block = _without_block(body)
    body = _ended(turns, message, body, tokenizer.eos_token)
    reasoning = str(message.get("reasoning_content") or "").strip("\n")
    if begun == "closed":  # Where the prompt itself asks for no thinking, too.
        return body
    # No blank lines around the marks: parsers such as vLLM's deepseek_r1 leave them in the reasoning and the answer.
    if begun == "opened":
        return f"{reasoning}{CLOSE}{body}"
    return f"{OPEN}{reasoning}{CLOSE}{body}" if reasoning or block else body


def _without_block(body: str) -> tuple[str, bool]:
    """What a template rendered after the beginning of a turn, without the block for thinking, closed or not, that it
    begins with; and whether it had one.
    """
    found = _CLOSED_BLOCK.match(body) or _OPEN_BLOCK.match(body)
    return (body, False) if found is None else (body[found.end() :], True)


def _after(lead: str, whole: str) -> str | None:
    """What follows the beginning of a turn in the rendered conversation; None where that does not begin like it."""
    if whole.startswith(lead):
        return whole[len(lead) :]
    bare = lead.rstrip()
    return whole[len(bare) :].lstrip() if whole.startswith(bare) else None


def _ended(turns: Turns, message: Message, body: str, end: str) -> str:
    """The body up to the end token after its last part: what a template adds after that is not trained on.

    Raises DistillError where the template leaves out a part of the answer: that would teach not to give it.
    """
    calls = [call["function"]["name"] for call in message.get("tool_calls") or ()]
    at = 0
    for piece in [str(message["content"]).strip(), *calls]:
        found = body.find(piece, at)
        found = body.find(piece) if found < 0 else found
        if found < 0 and piece in calls:
            raise DistillError(
                f"row {turns.id}: the student's chat template leaves out calls of tools; leave out rows with tools, or "
                "choose a student whose template has them"
            )
        if found < 0:
            raise DistillError(f"row {turns.id}: the student's chat template leaves out or changes the answer's text")
        at = max(at, found + len(piece))
    stop = body.find(end, at)
    return body + end if stop < 0 else body[: stop + len(end)]


def _render(turns: Turns, messages: Sequence[Message], tokenizer: Any, *, prompt: bool) -> str:
    """The text of messages, with the generation prompt if `prompt`."""

    def rendered(given: Sequence[Message]) -> str:
        return str(
            tokenizer.apply_chat_template(list(given), tools=turns.tools, add_generation_prompt=prompt, tokenize=False)
        )

    try:
        try:
            return rendered(messages)
        except TypeError:  # DeepSeek's templates want the arguments of calls as text.
            return rendered([spelt(message) for message in messages])
    except Exception as error:
        # Templates are programs of others, which raise what they like.
        said = " ".join(str(error).split())[:160]
        raise DistillError(
            f"row {turns.id}: the student's chat template refuses it: {said}; change the roles of the row, or the "
            "template in the model's directory (chat_template.jinja)"
        ) from None
