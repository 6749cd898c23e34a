"""What a reasoning model thinks before its answer, told apart from the answer."""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


def split_thought(text: str, reasoning: object = None) -> tuple[str, str]:
    """(reasoning, answer) of an answer's text; `reasoning` is the field of the API that has it, where it has one.

    A server without a parser for reasoning leaves it in the text, up to a closing mark; the prompt may have opened it.
    An answer that ends before the mark is all reasoning. The blank lines between both belong to neither.
    """
    if isinstance(reasoning, str) and reasoning.strip():
        return reasoning.strip("\n"), text.lstrip("\n")
    thought, mark, answer = text.partition(CLOSE)
    opened = thought.lstrip().startswith(OPEN)
    if not mark:
        return (thought.lstrip().removeprefix(OPEN).strip("\n"), "") if opened else ("", text)
    if not opened and OPEN in thought:  # The answer itself is about such marks.
        return "", text
    return thought.lstrip().removeprefix(OPEN).strip("\n"), answer.lstrip()
