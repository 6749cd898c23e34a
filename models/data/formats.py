"""Recognising the formats of rows that people have, and turning them into ours: `messages` as in OpenAI's API.

Known are OpenAI's files for fine-tuning (chat, preference, reinforcement, prompt and completion) and for batches,
ShareGPT, Alpaca and Dolly, the conversational rows of trl, and pairs of a question and an answer under common names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from breakeven.models.data.messages import ASKED

_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "observation": "tool",
    "function_response": "tool",
}
# Names of the question and of the answer to it, in the order in which they are looked for.
_PAIRS = (
    ("prompt", "answer"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("prompt", "chosen"),
    ("prompt", "output"),
    ("question", "answer"),
    ("question", "response"),
    ("question", "chosen"),
    ("query", "response"),
    ("query", "answer"),
    ("input", "output"),
    ("user", "assistant"),
)
_QUESTIONS = ("question", "query", "input", "user")
_KNOWN = (
    "messages (OpenAI), conversations (ShareGPT), instruction (Alpaca), or prompt, question, query or input with its "
    "answer"
)
_SHOWN = re.compile(r"[A-Za-z_][\w-]{0,31}")
_MAX_SHOWN = 6


def ours(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row in our format: `messages`, or `prompt` with or without `answer`, beside its other fields.

    A row without a known format is returned as it is.
    """
    row = {name: value for name, value in row.items() if value is not None}
    turns, used = _turns(row)
    if turns is None:
        return row
    made = {name: value for name, value in row.items() if name not in used}
    made |= {"messages": _messages(turns)}
    if "custom_id" in made:
        made.setdefault("id", made.pop("custom_id"))
    if "reference_answer" in made:
        reference = made.pop("reference_answer")
        made.setdefault("reference", reference if isinstance(reference, str) else json.dumps(reference))
    if (tools := _tools(row.get("tools"))) is not None:
        made["tools"] = tools
    return made


def unknown(row: Mapping[str, Any]) -> str | None:
    """Why a row in `ours` has no known format, with its keys; None where it has one."""
    if "messages" in row or "prompt" in row:
        return None
    # A CSV file without a header has texts as names, which must not be repeated.
    keys = [name for name in row if _SHOWN.fullmatch(name)][:_MAX_SHOWN]
    return f"unknown format with the keys {', '.join(keys) or '(none)'}; rename the columns to one of: {_KNOWN}"


def without_answer(row: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """A row in our format up to its last question, and whether an answer was left out."""
    kept = {name: value for name, value in row.items() if name != "answer"}
    messages = row.get("messages")
    if not isinstance(messages, list):
        return kept, "answer" in row
    last = len(messages)
    while last and isinstance(messages[last - 1], dict) and messages[last - 1].get("role") == "assistant":
        last -= 1
    # A row of assistant messages only is for the check of rows to refuse.
    return {**kept, "messages": messages[:last] if last else messages}, 0 < last < len(messages)


def surrogate(row: Any) -> str | None:
    """Where a decoded row holds half of a surrogate pair, which no tokenizer and no file accepts, or None."""
    try:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        where = next(_surrogates(row), "a key")
        return f"{where}: holds half of a character (a lone surrogate, such as \\ud83d); mend or remove it"
    except RecursionError:
        return "nested too deep"
    return None


def _turns(row: dict[str, Any]) -> tuple[Any, set[str]]:
    """The row's turns, and the fields that they were made from; None where it has none to turn into ours."""
    body, asked = row.get("body"), row.get("input")
    if isinstance(body, dict) and "messages" in body:  # A row of a batch file.
        row |= {name: body[name] for name in ASKED if body.get(name) is not None}
        return body["messages"], {"body", "method", "url"}
    if isinstance(asked, dict) and "messages" in asked:  # A preference.
        row |= {name: asked[name] for name in ASKED if asked.get(name) is not None}
        return [*_list(asked["messages"]), *_list(row.get("preferred_output"))], {"input", "preferred_output"}
    if "messages" in row:
        return row["messages"], {"messages"}
    for name in ("conversations", "conversation"):
        if name in row:
            return [*_system(row), *_list(row[name])], {name, "system"}
    if isinstance(row.get("instruction"), str):
        return _instruction(row), {"instruction", "input", "context", "output", "response", "history", "system"}
    return _pair(row)


def _pair(row: dict[str, Any]) -> tuple[Any, set[str]]:
    alone = next((name for name in ("prompt", *_QUESTIONS) if name in row), "")
    question, answer = next((pair for pair in _PAIRS if pair[0] in row and pair[1] in row), (alone, ""))
    asked, answered = row.get(question), row.get(answer)
    is_ours = question == "prompt" and answer in ("", "answer") and "system" not in row
    if not isinstance(asked, str | list) or (is_ours and isinstance(asked, str)):
        return None, set()
    used = {question, answer, "system"}
    if isinstance(answered, list) and len(answered) > 1:  # A whole conversation, as in some preference data.
        return [*_system(row), *answered], used
    turns = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
    return [*_system(row), *turns, *(answered if isinstance(answered, list) else _said(answered))], used


def _said(answer: Any) -> list[dict[str, Any]]:
    return [] if answer is None else [{"role": "assistant", "content": answer}]


def _system(row: dict[str, Any]) -> list[dict[str, Any]]:
    text = row.get("system")
    return [{"role": "system", "content": text}] if isinstance(text, str) and text.strip() else []


def _instruction(row: dict[str, Any]) -> list[Any]:
    """The turns of an Alpaca row, with LLaMA-Factory's `system` and `history`, or of a Dolly row."""
    turns: list[Any] = _system(row)
    for one in _list(row.get("history")):
        if isinstance(one, list | tuple) and len(one) == 2:
            turns += [{"role": "user", "content": one[0]}, {"role": "assistant", "content": one[1]}]
        else:
            turns.append(one)
    more = row.get("input") or row.get("context")
    asked = row["instruction"] if not isinstance(more, str) or not more.strip() else f"{row['instruction']}\n\n{more}"
    answer = row["output"] if "output" in row else row.get("response")
    return [*turns, {"role": "user", "content": asked}, *_said(answer)]


def _messages(turns: Any) -> Any:
    """The turns with OpenAI's names; what is no list of turns is left for the check of rows to refuse."""
    if isinstance(turns, str):
        turns = _parsed(turns)
    if isinstance(turns, dict) and turns and all(isinstance(value, list) for value in turns.values()):
        # A column of structs as an older `datasets` stores it: lists of the fields.
        turns = [dict(zip(turns, values, strict=False)) for values in zip(*turns.values(), strict=False)]
    if not isinstance(turns, list):
        return turns
    made: list[Any] = []
    for turn in turns:
        made.append(_message(turn, made) if isinstance(turn, dict) else turn)
    return made


def _message(turn: dict[str, Any], before: list[Any]) -> dict[str, Any]:
    kept = {name: value for name, value in turn.items() if value is not None}
    role = kept.pop("from") if "role" not in kept and "from" in kept else kept.get("role")
    if "content" not in kept and "value" in kept:
        kept["content"] = kept.pop("value")
    if role in ("function_call", "tool_call") and isinstance(kept.get("content"), str):
        return {"role": "assistant", "content": None, "tool_calls": _calls(kept["content"], len(before))}
    kept["role"] = _ROLES.get(role, role) if isinstance(role, str) else role
    if kept["role"] == "tool" and "tool_call_id" not in kept and before and isinstance(before[-1], dict):
        calls = before[-1].get("tool_calls")
        called = calls[0] if isinstance(calls, list) and calls and isinstance(calls[0], dict) else {}
        kept["tool_call_id"] = called.get("id", "call_0")
    if "tool_calls" in kept:
        kept.setdefault("content", None)
    kept["content"] = _text(kept.get("content"))
    return {"role": kept.pop("role"), "content": kept.pop("content"), **kept}


def _calls(text: str, number: int) -> list[dict[str, Any]]:
    """OpenAI's tool calls from the JSON of a ShareGPT turn; a text that is no such JSON becomes a name."""
    found = []
    for i, call in enumerate(_list(_parsed(text)) or [{"name": text}]):
        made = call if isinstance(call, dict) else {"name": str(call)}
        arguments = made.get("arguments", {})
        spelt = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        function = {"name": str(made.get("name", "")), "arguments": spelt}
        found.append({"id": f"call_{number}_{i}", "type": "function", "function": function})
    return found


def _tools(tools: Any) -> list[Any] | None:
    """OpenAI's list of tools, from that list, its JSON, or bare functions; None where there is none."""
    found = _parsed(tools) if isinstance(tools, str) else tools
    if not isinstance(found, list) or not found:
        return None
    wrapped = [isinstance(one, dict) and "function" not in one and "name" in one for one in found]
    return [{"type": "function", "function": one} if bare else one for one, bare in zip(found, wrapped, strict=True)]


def _text(content: Any) -> Any:
    """The text of a content; a list of text parts is joined, anything else is left for the check of rows."""
    if not isinstance(content, list) or not content:
        return content
    parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
    return "\n".join(map(str, parts)) if len(parts) == len(content) else content


def _list(value: Any) -> list[Any]:
    """A value as a list of turns: itself, its JSON, or a single turn; an empty one where there is nothing."""
    found = _parsed(value) if isinstance(value, str) else value
    if isinstance(found, dict) and found and all(isinstance(one, list) for one in found.values()):
        return [dict(zip(found, values, strict=False)) for values in zip(*found.values(), strict=False)]
    return found if isinstance(found, list) else [] if found is None else [found]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _surrogates(value: Any, where: str = "") -> Iterator[str]:
    """The paths of the texts in a decoded value that hold a lone surrogate."""
    if isinstance(value, str):
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            yield where or "the text"
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _surrogates(inner, f"{where}.{name}" if where else str(name))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _surrogates(inner, f"{where}[{i}]")
