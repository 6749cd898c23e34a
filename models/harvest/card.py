"""The card of a harvested dataset, and the lines that the command prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def card(facts: Mapping[str, Any]) -> str:
    """The dataset card in Markdown: the header that dataset hubs read, tables, and all `facts` as JSON."""
    return "\n".join(_card(facts)) + "\n"


def summary(facts: Mapping[str, Any], out: Path) -> Iterator[str]:
    """The lines to print."""
    splits, money = facts["splits"], facts["cost"]
    stored = _stored(facts["conversations"])
    yield f"{out}: {splits['train']} training and {splits['eval']} held-out rows of {stored}"
    yield f"why they are there: {counts_text(facts['reasons']['train'])}"
    if facts["left_out"]:
        yield f"left out: {counts_text(facts['left_out'])}"
    yield "loss of the student by kind, as compared in traffic:"
    for kind in facts["kinds"]:
        yield f"  {kind['name']}: {_loss(kind)}; {_cost(kind)}"
    yield f"cost: 0 USD; {_paid(money)}"
    if facts["unanswered"]:
        yield (
            f"{facts['unanswered']} prompts have no answer of the teacher, and the student's was bad to a user; "
            f"next: breakeven distill generate {out / 'unanswered.jsonl'}"
        )


def _card(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "---\ntags:\n- distillation\nconfigs:\n- config_name: default\n  data_files:"
    yield "  - split: train\n    path: train.jsonl\n  - split: eval\n    path: eval.jsonl\n---\n"
    yield "# Harvested dataset\n"
    models = ", ".join(f"`{name}` ({count})" for name, count in facts["teachers"].items())
    yield f"Answers that were given in production, of {models}, for training a student. It holds what users wrote.\n"
    yield "| what | how many |\n| --- | --- |"
    yield f"| {_stored(facts['conversations']).partition(' ')[2]} | {facts['conversations']['stored']} |"
    yield f"| training rows | {facts['splits']['train']} |"
    yield f"| held-out rows, by a hash of the beginning of the conversation | {facts['splits']['eval']} |"
    for split in ("train", "eval"):
        for name, count in sorted(facts["reasons"][split].items()):
            yield f"| {split} rows: {name} | {count} |"
    for name, count in sorted(facts["left_out"].items()):
        yield f"| left out: {name} | {count} |"
    yield f"| prompts without an answer of the teacher | {facts['unanswered']} |\n"
    yield f"Cost: 0 USD; {_paid(facts['cost'])}.\n"
    yield "## Loss of the student, as compared in traffic\n"
    yield "| kind | answers | compared | loss | weight | have cost, USD |\n| --- | --- | --- | --- | --- | --- |"
    for kind in facts["kinds"]:
        loss = "not measured" if kind["loss"] is None else f"{kind['loss']:.3f}"
        numbers = f"{kind['rows']} | {kind['compared']} | {loss} | {kind['weight']:.2f} | {kind['paid_by_traffic_usd']}"
        yield f"| {kind['name']} | {numbers} |"
    yield f"\nThe kinds are mixed by {facts['mixed_by']}.\n"
    yield "## Terms\n"
    yield (
        f"Its creator stated on {facts['consent']} that they may train on these outputs. Many providers forbid "
        "training competing models on the outputs of theirs: check the provider's terms before you use this dataset.\n"
    )
    yield "## Facts\n"
    yield f"```json\n{json.dumps(facts, indent=1, ensure_ascii=False)}\n```"


def counts_text(counts: Mapping[str, int]) -> str:
    """Counts by name in words, the largest first."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{count} {name}" for name, count in ordered) or "none"


def _stored(conversations: Mapping[str, Any]) -> str:
    period = f"{conversations['first']} to {conversations['last']}"
    return f"{conversations['stored']} conversations stored from {period}"


def _cost(kind: Mapping[str, Any]) -> str:
    return f"weight {kind['weight']:.2f}, {kind['rows']} answers that have cost {kind['paid_by_traffic_usd']} USD"


def _loss(kind: Mapping[str, Any]) -> str:
    measured = "not measured" if kind["loss"] is None else f"{kind['loss']:.3f}"
    return f"{measured} ({kind['compared']} compared)"


def _paid(money: Mapping[str, Any]) -> str:
    unknown = money["rows_without_cost"]
    paid = f"in traffic these answers have cost {money['paid_by_traffic_usd']} USD"
    return paid + (f", and {unknown} more that reported no usage" if unknown else "")
