"""What models of the support desk say, asked directly and greedily, without a server. Needs torch and transformers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from breakeven.models.examples.support import SYSTEM, Case, reference_of
from breakeven.models.scoring import checkers

LONGEST = 48
_BATCH = 25
_TOP = 5


def messages(case: Case) -> list[dict[str, str]]:
    """The messages of a request."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": case.prompt}]


def row(case: Case) -> dict[str, Any]:
    """A training row with the program's answer."""
    return {"messages": [*messages(case), {"role": "assistant", "content": case.answer}]}


def right(case: Case, answer: str) -> float:
    """1.0 if the answer is right, else 0.0."""
    return checkers.score(case.checker, reference_of(case), answer)


def answers(folder: Path, asked: Sequence[Case]) -> list[str]:
    """A model's answers to the requests, at temperature 0, of at most LONGEST tokens."""
    model, tokenizer = _loaded(folder)
    tokenizer.padding_side = "left"
    # Requests of about the same length together need little padding.
    order = sorted(range(len(asked)), key=lambda at: len(asked[at].prompt))
    found = [""] * len(asked)
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        inputs = tokenizer.apply_chat_template(
            [messages(asked[at]) for at in batch], add_generation_prompt=True, padding=True, return_dict=True,
            return_tensors="pt",
        )  # fmt: skip
        made = model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        texts = tokenizer.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for at, text in zip(batch, texts, strict=True):
            found[at] = text
    return found


def pairs(asked: Sequence[Case], said: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Outcome rows of a student's answers beside the program's, as `breakeven distill evaluate` writes them."""
    for number, (case, answer) in enumerate(zip(asked, said, strict=True)):
        yield {
            "id": f"asked-{number}", "messages": messages(case), "category": case.kind, "split": "train",
            "student_response": answer, "student_score": right(case, answer),
            "teacher_response": case.answer, "teacher_score": 1.0,
        }  # fmt: skip


def with_distributions(teacher: Path, known: Sequence[Case]) -> Iterator[dict[str, Any]]:
    """Training rows with a model's most likely tokens, as `breakeven distill generate --top-logprobs` stores them."""
    import torch

    model, tokenizer = _loaded(teacher)
    for case in known:
        start = tokenizer.apply_chat_template(messages(case), add_generation_prompt=True, return_dict=False)
        answer = tokenizer(case.answer + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([[*start, *answer]])).logits[0, len(start) - 1 : -1]
        logs = logits.log_softmax(-1)
        top = logs.topk(_TOP)
        stored = [
            {
                "token": tokenizer.decode([token]), "logprob": float(logs[at, token]),
                "top": [[tokenizer.decode([one]), value] for one, value in zip(ids, values, strict=True)],
            }
            for at, (token, ids, values) in enumerate(
                zip(answer, top.indices.tolist(), top.values.tolist(), strict=True)
            )
        ]  # fmt: skip
        yield row(case) | {"teacher_logprobs": stored}


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")


def _loaded(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return AutoModelForCausalLM.from_pretrained(str(folder), dtype="float32").eval(), tokenizer
