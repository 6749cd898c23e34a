"""Writing the dataset: rows for training and evaluation, rejected answers with the reason, and the dataset card."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from breakeven.models.client.chat import Reply
from breakeven.models.data.prompts import Prompt
from breakeven.router.files import write_atomically

State = Literal["ok", "refused", "truncated", "empty", "wrong"]

_REFUSAL = re.compile(
    r"(i am |i'm )?(very )?(sorry|afraid)\b.{0,40}\b(can't|cannot|can not|unable|not able|won't)\b"
    r"|(unfortunately, )?i (can't|cannot|can not|won't|am unable to|am not able to|'m unable to) "
    r"(help|assist|comply|fulfil|provide|do that|answer|discuss|create|write)\b"
    r"|as an ai\b",
    re.IGNORECASE,
)


class Dataset(NamedTuple):
    """What was written: the number of rows by split, of answers by state, of unanswered prompts, and of rows by
    category.
    """

    splits: dict[str, int]
    states: dict[str, int]
    unanswered: int
    categories: dict[str, int]


def state_of(reply: Reply) -> State:
    """Whether an answer can be used for training, or why not; `truncated`: cut off by the output limit. Never `wrong`,
    which a checker says.
    """
    if reply.refusal or reply.finish_reason == "content_filter":
        return "refused"
    if reply.finish_reason == "length":
        return "truncated"
    text = reply.text.strip()
    if not text:
        return "ok" if reply.tool_calls else "empty"
    return "refused" if _REFUSAL.match(text.replace("’", "'")) else "ok"


def write(
    folder: Path,
    prompts: Iterable[Prompt],
    replies: Mapping[str, Reply],
    *,
    eval_share: float,
    keep_refusals: bool,
    wrong: Collection[str] = (),
) -> Dataset:
    """Write train.jsonl, eval.jsonl and rejected.jsonl to `folder`. `replies` are by prompt key; `eval_share` in [0, 1)
    is held out; answers to the prompts whose keys are `wrong` are rejected. Raises OSError.

    A row is {"id", "messages": prompt and answer, which may have "tool_calls" and "reasoning_content", "tools"?,
    "response_format"?, "category"?, "reference"?, "checker"?, "synthetic"?,
    "teacher_usage", "teacher_logprobs"?}; rejected rows have a `reason`.
    """
    rows: dict[str, list[str]] = {"train": [], "eval": [], "rejected": []}
    states: Counter[str] = Counter()
    categories: Counter[str] = Counter()
    unanswered = 0
    for prompt in prompts:
        reply = replies.get(prompt.key)
        if reply is None:
            unanswered += 1
            continue
        state: State = "wrong" if prompt.key in wrong else state_of(reply)
        states[state] += 1
        row = _row(prompt, reply)
        if state == "ok" or (state == "refused" and keep_refusals and reply.text.strip()):
            # Synthetic prompts resemble the prompts they were made from, so that they are never held out.
            split = "train" if prompt.carried.get("synthetic") else prompt.split(eval_share)
            categories[str(prompt.carried.get("category", "none"))] += 1
        else:
            split, row = "rejected", {"reason": state, **row}
        rows[split].append(json.dumps(row, ensure_ascii=False))
    for name, made in rows.items():
        write_atomically(folder / f"{name}.jsonl", "".join(f"{row}\n" for row in made), private=True)
    splits = {name: len(made) for name, made in rows.items()}
    return Dataset(splits, dict(states), unanswered, dict(categories))


def card(facts: Mapping[str, Any]) -> str:
    """The dataset card in Markdown: the header that dataset hubs read, tables, and all `facts` as JSON."""
    splits, states, money = facts["splits"], facts["answers"], facts["cost"]
    head = ["---", "tags:", "- distillation", "- synthetic", "configs:", "- config_name: default", "  data_files:"]
    head += ["  - split: train", "    path: train.jsonl", "  - split: eval", "    path: eval.jsonl", "---", ""]
    body = [
        "# Distillation dataset",
        "",
        f"Answers of `{facts['teacher']['model']}` to {facts['prompts']['different']} prompts, for training a student.",
        "",
        "| what | how many |",
        "| --- | --- |",
        f"| training rows | {splits['train']} |",
        f"| held-out rows, chosen by a hash of the prompt | {splits['eval']} |",
        *(f"| answers: {name} | {count} |" for name, count in sorted(states.items())),
        f"| prompts without an answer | {facts['prompts']['unanswered']} |",
        f"| duplicate prompts, merged | {facts['prompts']['duplicates']} |",
        f"| bad rows, skipped | {facts['prompts']['bad_rows']} |",
        f"| synthetic prompts | {facts['prompts']['synthetic']} |",
        f"| cost, USD | {money['usd']} |",
        f"| possibly paid in addition (calls without an answer or usage), at most, USD | {money['possibly_usd']} |",
        "",
        "Truncated and empty answers are in `rejected.jsonl`, not in the dataset; refused ones are "
        + ("kept in the dataset." if facts["keep_refusals"] else "rejected too."),
        "",
        "## Terms",
        "",
        f"Its creator stated on {facts['consent']} that they may train on these outputs. Many providers forbid "
        "training competing models on the outputs of theirs: check the provider's terms before you use this dataset.",
        "",
        "## Facts",
        "",
        "```json",
        json.dumps(facts, indent=1, ensure_ascii=False),
        "```",
        "",
    ]
    return "\n".join(head + body)


def _row(prompt: Prompt, reply: Reply) -> dict[str, Any]:
    answer: dict[str, Any] = {"role": "assistant", "content": reply.text or (None if reply.tool_calls else "")}
    if reply.tool_calls:
        answer["tool_calls"] = reply.tool_calls
    if reply.reasoning:
        answer["reasoning_content"] = reply.reasoning
    row = {"id": prompt.id, "messages": [*prompt.messages, answer], **prompt.asked, **prompt.carried}
    row["teacher_usage"] = {"prompt_tokens": reply.usage.prompt, "output_tokens": reply.usage.output}
    if reply.logprobs is not None:
        row["teacher_logprobs"] = [_token(entry) for entry in reply.logprobs if isinstance(entry, dict)]
    return row


def _token(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One position: the token and its most likely alternatives, with the API's spelling."""
    top = [one for one in entry.get("top_logprobs") or [] if isinstance(one, dict)]
    kept = [[one.get("token"), one.get("logprob"), one.get("bytes")] for one in top]
    return {"token": entry.get("token"), "bytes": entry.get("bytes"), "logprob": entry.get("logprob"), "top": kept}
