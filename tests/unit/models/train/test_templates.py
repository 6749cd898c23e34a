"""What is trained after a generation prompt is what is meant, in the chat templates of the reasoning families."""

from __future__ import annotations

from typing import Any

import pytest

from breakeven.models.client.thoughts import split_thought
from breakeven.models.data.rows import Example
from breakeven.models.errors import DistillError
from tests.unit.models.train import tiny
from tests.unit.models.train.templates import FAMILIES, QWEN3, QWEN3_5, R1

END = "<|im_end|>"
START = "<|im_start|>assistant\n"
EMPTY = "<think>\n\n</think>\n\n"


def tokenizer(template: str, *, thinking: bool) -> Any:
    from breakeven.models.train.templates import with_thinking

    made = tiny.tokenizer()
    made.chat_template = template
    with_thinking(made, thinking=thinking)
    return made


def row(*turns: tuple[str, str] | dict[str, Any], reasoning: str | None = None, **fields: Any) -> Example:
    messages = [one if isinstance(one, dict) else {"role": one[0], "content": one[1]} for one in turns]
    if reasoning is not None:
        messages[-1] = {**messages[-1], "reasoning_content": reasoning}
    record = {"messages": messages, **fields}
    return Example("x", messages[:-1], str(messages[-1]["content"]), None, record)


def trained(one: Example, made: Any, *, reasoning: bool = False) -> list[tuple[str, list[str]]]:
    """(whole text, labelled texts) of each sequence."""
    from breakeven.models.train.encode import encode

    found = []
    for encoded in encode([one], made, 1000, reasoning=reasoning).rows:
        pieces, before = [], -100
        for label in encoded["labels"]:
            if label != -100 and before == -100:
                pieces.append([])
            if label != -100:
                pieces[-1].append(label)
            before = label
        found.append((made.decode(encoded["input_ids"]), [made.decode(piece) for piece in pieces]))
    return found


def served(made: Any, *turns: tuple[str, str], **more: Any) -> str:
    """The prompt as a server renders it from the saved template."""
    messages = [{"role": role, "content": text} for role, text in turns]
    return str(made.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, **more))


@pytest.mark.parametrize("family", FAMILIES)
def test_without_reasoning_the_answer_follows_the_served_prompt_and_nothing_else(family: str) -> None:
    made = tokenizer(FAMILIES[family], thinking=False)
    ((whole, pieces),) = trained(row(("user", "q"), ("assistant", "\n\nyes"), reasoning="so"), made)
    prompt = served(made, ("user", "q"))
    assert pieces == [f"yes{END}"] or (family == "nemotron_nano_2" and pieces == [f"yes\n{END}"])
    assert whole == prompt + pieces[0]
    assert prompt.count("<think>") <= prompt.count("</think>"), "nothing is left open"


@pytest.mark.parametrize("family", FAMILIES)
def test_with_reasoning_it_is_trained_and_closed_before_the_answer(family: str) -> None:
    made = tokenizer(FAMILIES[family], thinking=True)
    ((whole, (piece,)),) = trained(row(("user", "q"), ("assistant", "yes"), reasoning="so"), made, reasoning=True)
    prompt = served(made, ("user", "q"))
    assert whole == prompt + piece
    assert piece.endswith(END)
    said = (prompt + piece).removesuffix(END).partition(START)[2]
    assert (said.count("<think>"), said.count("</think>")) == (1, 1)
    assert split_thought(said.rstrip("\n")) == ("so", "yes")
    # What a parser of reasoning makes of it that strips nothing, as vLLM's deepseek_r1.
    thought, _, answer = piece.removesuffix(END).removeprefix("<think>").partition("</think>")
    assert (thought, answer.removesuffix("\n")) == ("so", "yes")


@pytest.mark.parametrize("family", FAMILIES)
def test_thinking_without_reasoning_in_the_row_closes_what_is_open(family: str) -> None:
    made = tokenizer(FAMILIES[family], thinking=True)
    ((whole, (piece,)),) = trained(row(("user", "q"), ("assistant", "yes")), made)
    said = whole.removesuffix(END).partition(START)[2]
    assert said.count("<think>") <= said.count("</think>")
    assert split_thought(said.rstrip("\n")) == ("", "yes")
    assert "yes" in piece


def test_the_switch_of_a_request_still_decides() -> None:
    for template in (QWEN3, QWEN3_5):
        made = tokenizer(template, thinking=False)
        assert served(made, ("user", "q")).endswith(START + EMPTY)
        assert not served(made, ("user", "q"), enable_thinking=True).endswith(EMPTY)
    closed = tokenizer(R1, thinking=False)
    assert served(closed, ("user", "q")).endswith(START + EMPTY)
    assert served(closed, ("user", "q"), enable_thinking=True).endswith(START + "<think>\n")


def test_a_student_that_was_trained_without_may_be_trained_with_reasoning() -> None:
    from breakeven.models.train.templates import state, with_thinking

    for name, template in FAMILIES.items():
        made = tokenizer(template, thinking=False)
        without = served(made, ("user", "q"))
        with_thinking(made, thinking=True)
        assert state(made) != "closed", name
        with_thinking(made, thinking=False)
        assert served(made, ("user", "q")) == without, name


def test_a_template_without_thinking_is_left_as_it_is() -> None:
    assert tokenizer(tiny.CHAT, thinking=False).chat_template == tiny.CHAT
    made = tokenizer(tiny.CHAT, thinking=True)
    assert made.chat_template == tiny.CHAT
    ((_, pieces),) = trained(row(("user", "q"), ("assistant", "yes"), reasoning="so"), made, reasoning=True)
    assert pieces == [f"<think>so</think>yes{END}"]


def test_every_turn_of_an_assistant_is_trained_in_one_sequence_if_the_template_keeps_turns() -> None:
    one = row(("user", "a"), ("assistant", "1"), ("user", "b"), ("assistant", "2"))
    ((whole, pieces),) = trained(one, tokenizer(tiny.CHAT, thinking=False))
    assert pieces == [f"1{END}", f"2{END}"]
    assert whole.count(START) == 2


def test_every_turn_is_trained_as_it_will_be_asked_if_the_template_changes_earlier_turns() -> None:
    made = tokenizer(QWEN3, thinking=True)
    first, second = {"reasoning_content": "r1"}, {"reasoning_content": "r2"}
    one = row(
        ("user", "a"),
        {"role": "assistant", "content": "1", **first},
        ("user", "b"),
        {"role": "assistant", "content": "2", **second},
    )
    found = trained(one, made, reasoning=True)
    assert [pieces for _, pieces in found] == [
        [f"<think>r1</think>1{END}"],
        [f"<think>r2</think>2{END}"],
    ]
    assert "r1" not in found[1][0], "the template leaves out what was thought in earlier turns"
    assert found[1][0] == served(made, ("user", "a"), ("assistant", "1"), ("user", "b")) + found[1][1][0]


def test_turns_and_rows_have_weights() -> None:
    from breakeven.models.train.encode import encode

    made = tokenizer(tiny.CHAT, thinking=False)
    silent = {"role": "assistant", "content": "1", "weight": 0}
    one = row(("user", "a"), silent, ("user", "b"), ("assistant", "2"), weight=3)
    ((_, pieces),) = trained(one, made)
    assert pieces == [f"2{END}"]
    heavy, plain = encode([one, row(("user", "a"), ("assistant", "1"))], made, 1000).rows
    assert {w for w, label in zip(heavy["weights"], heavy["labels"], strict=True) if label != -100} == {3.0}
    assert set(plain["weights"]) == {1.0}
    assert "weights" not in encode([row(("user", "a"), ("assistant", "1"))], made, 1000).rows[0]
    with pytest.raises(DistillError, match="weight 0"):
        encode([row(("user", "a"), ("assistant", "1"), weight=0)], made, 1000)


def test_calls_and_results_of_tools_are_trained_on() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": '{"n": 5}'}}
    tool = {"type": "function", "function": {"name": "find"}}
    asks = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "content": "5!", "tool_call_id": "c"}
    one = row(("user", "q"), asks, result, ("assistant", "yes"), tools=[tool])
    ((whole, pieces),) = trained(one, tokenizer(QWEN3, thinking=False))
    assert pieces == [f'<tool_call>find {{"n": 5}}</tool_call>{END}', f"yes{END}"]
    assert whole.startswith("<tools>")
    assert "<|im_start|>tool\n5!" in whole


def test_a_template_that_fails_is_said_with_the_row() -> None:
    fails = "{%- if messages|length > 1 %}{{ raise_exception('no such role') }}{%- endif %}"
    with pytest.raises(DistillError, match=r"row x: the student's chat template refuses it: no such role"):
        trained(row(("system", "s"), ("user", "q"), ("assistant", "yes")), tokenizer(fails, thinking=False))
    with pytest.raises(DistillError, match="chat template refuses a plain question: no"):
        tokenizer("{{ raise_exception('no') }}", thinking=False)


def test_a_template_that_leaves_out_calls_is_an_error_and_no_empty_answer() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    one = row(("user", "q"), {"role": "assistant", "content": None, "tool_calls": [call]})
    with pytest.raises(DistillError, match="row x: the student's chat template leaves out calls of tools"):
        trained(one, tokenizer(tiny.CHAT, thinking=False))


def test_a_template_that_wants_arguments_as_text_gets_them() -> None:
    calls = "{% for c in m['tool_calls'] %}{{ c.function.name + ' ' + c.function.arguments }}{% endfor %}"
    template = tiny.CHAT.replace("{{ m['content'] }}", "{{ m['content'] }}" + calls)
    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": '{"n": 5}'}}
    one = row(("user", "q"), {"role": "assistant", "content": None, "tool_calls": [call]})
    ((_, pieces),) = trained(one, tokenizer(template, thinking=False))
    assert pieces == [f'find {{"n": 5}}{END}']
