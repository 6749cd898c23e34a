"""The model card and the loss plot that a finished training writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from breakeven.router import plots


def card(facts: Mapping[str, Any]) -> str:
    """The model card in Markdown, including all `facts` as JSON."""
    stages = facts["stages"]
    last = stages[-1]
    taught = f" on the outputs of `{facts['teacher']}`" if facts["teacher"] else ""
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation", "tags:", "- distillation", "---", ""]
    lines += [
        "# Distilled student",
        "",
        f"`{facts['student']}` trained{taught} with the method `{facts['method']}` on {facts['rows']['train']} rows; "
        f"{last['parameters'] / 1e6:.1f} million parameters.",
        "",
        "| stage | layers | steps | eval loss before | eval loss after |",
        "| --- | --- | --- | --- | --- |",
    ]
    for number, stage in enumerate(stages, 1):
        before, best = _loss(stage["eval_loss_before"]), _loss(stage["eval_loss"])
        lines.append(f"| {number} | {stage['layers']} | {stage['steps']} | {before} | {best} |")
    lines += [
        "",
        "Eval loss is the cross-entropy of the teacher's answers to held-out prompts, in nats a token, whatever the "
        "method. Losses over time: `loss.png`.",
        "",
        "Measure the quality of its answers with `breakeven distill evaluate`. Serve it with `breakeven student "
        "--model` and this directory. The terms of the teacher and of the base model apply to it too.",
        "",
        "```json",
        json.dumps(facts, indent=1, ensure_ascii=False),
        "```",
        "",
    ]
    return "\n".join(lines)


def draw(stages: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot the training and eval loss over the steps of all stages to `path` as PNG.

    Raises ValueError without matplotlib, and OSError.
    """
    made, (axes,) = plots.figure()
    start = 0
    for number, stage in enumerate(stages):
        for name, color, label in (("train", plots.ORANGE, "training loss"), ("eval", plots.GREEN, "eval loss")):
            points = stage["history"][name]
            steps, values = [start + step for step, _ in points], [value for _, value in points]
            axes.plot(steps, values, "o-", markersize=3, color=color, label=label if number == 0 else None)
        start += stage["steps"]
        if number + 1 < len(stages):
            axes.axvline(start, color=plots.GREY, linestyle=":", label="next stage" if number == 0 else None)
    axes.set_title("Losses of the student while it was trained")
    axes.set_xlabel("steps")
    axes.set_ylabel("loss, nats a token")
    axes.grid(alpha=0.25)
    axes.legend()
    plots.save(made, path)


def _loss(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
