"""Generating a dataset: collects a teacher's answers to prompts, within a budget, and writes them with a card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from breakeven.gateway.accounting.money import PICODOLLARS, plain
from breakeven.models.client import session
from breakeven.models.client.budget import Budget
from breakeven.models.client.call_runner import Stop
from breakeven.models.client.journal import Journal
from breakeven.models.data import dataset
from breakeven.models.data.prompts import Prompts
from breakeven.models.data.terms import agreed
from breakeven.models.generate import best_of
from breakeven.models.generate.run import GenerationRun, Settings, by_prompt, check_batches
from breakeven.models.generate.synthesize import Synthesized, coverage
from breakeven.router.files import write_atomically


class Generated(NamedTuple):
    """The facts of the dataset card, and why the run stopped early, or None."""

    facts: dict[str, Any]
    stop: Stop | None


def generate(settings: Settings, read: Prompts, console: Console) -> Generated:
    """Ask the teacher for the answers that the output directory does not hold yet, and write the dataset and its card.

    Every paid answer is in the directory, whatever ends the run. `console` shows the progress. Raises DistillError
    where the run cannot start or is cut off.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    with Journal(settings.out / "journal.jsonl") as journal:
        check_batches(journal, settings)
        terms = _terms(settings)
        budget = Budget(int(settings.max_usd * PICODOLLARS), spent=journal.spent, possible=journal.possible)
        prompts = list(read.prompts)
        best_of.check(prompts, settings.best_of, settings.temperature)
        run = GenerationRun(settings, journal, budget, console)
        more, stop = session.run(run.run(prompts))
        prompts += more.prompts
        answered = by_prompt(journal.replies)
        chosen = best_of.choose(prompts, answered, settings.best_of)
        written = dataset.write(
            settings.out,
            prompts,
            chosen.answers,
            eval_share=settings.eval_share,
            keep_refusals=settings.keep_refusals,
            wrong=chosen.wrong,
        )
        facts = _facts(settings, read, more, written, journal, terms, run)
        if settings.best_of > 1:
            facts["best_of"] = {
                "answers": settings.best_of,
                "right_at_once": chosen.right_at_once,
                "right_later": chosen.right_later,
                "never_right": len(chosen.wrong),
            }
        write_atomically(settings.out / "card.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
        write_atomically(settings.out / "README.md", dataset.card(facts))
        return Generated(facts, stop)


def summary(facts: Mapping[str, Any], out: Path) -> list[str]:
    """The lines to print at the end of a run."""
    splits, money = facts["splits"], facts["cost"]
    states = ", ".join(f"{count} {name}" for name, count in sorted(facts["answers"].items())) or "none"
    lines = [f"{out}: {splits['train']} training and {splits['eval']} held-out rows; answers: {states}"]
    if facts["prompts"]["synthetic"]:
        found = facts["synthesis"]
        lines.append(f"{facts['prompts']['synthetic']} synthetic prompts; {found['too_alike']} proposals too similar")
        lines += [
            f"  cluster {row['terms']}: {row['seeds']} seeds, {row['synthetic']} synthetic" for row in found["coverage"]
        ]
        lines += [
            f"  aimed at {row['kind']}, {row['share']:.0%} of what was lost: {row['seeds']} seeds, {row['written']} of "
            f"{row['wanted']} synthetic"
            for row in found["aimed"]
        ]
    if facts.get("best_of"):
        found = facts["best_of"]
        lines.append(
            f"checked answers: {found['right_at_once']} right at once, {found['right_later']} at a later one of up to "
            f"{found['answers']}, {found['never_right']} never, which are left out"
        )
    if facts["teacher"]["refused"]:
        refused = ", ".join(facts["teacher"]["refused"])
        lines.append(f"{facts['teacher']['model']} leaves out {refused}: it refuses any value but its own")
    if facts["answers"].get("truncated"):
        lines.append("truncated answers are left out; run again with a higher --max-tokens to ask for those again")
    for reason, count in facts["given_up_in_last_run"].items():
        lines.append(f"given up in this run: {count} calls: {reason}")
    lines.append(f"cost: {money['usd']} USD for {money['replies']} replies")
    if money["possibly_usd"] != "0":
        lines.append(
            f"possibly paid in addition, at most: {money['possibly_usd']} USD (calls without an answer or usage)"
        )
    if money["under_way_usd"] != "0":
        lines.append(
            f"in batches in progress, at most: {money['under_way_usd']} USD; run the same command again to fetch them"
        )
    return lines


def _terms(settings: Settings) -> dict[str, Any]:
    """The settings that all runs into a directory share, written by the first and checked by the others."""
    fixed = {"model": settings.model, "temperature": settings.temperature, "top_logprobs": settings.top_logprobs}
    return agreed(settings.out, fixed, consent=settings.consent)


def _facts(
    settings: Settings,
    read: Prompts,
    more: Synthesized,
    written: dataset.Dataset,
    journal: Journal,
    terms: Mapping[str, Any],
    run: GenerationRun,
) -> dict[str, Any]:
    """The content of card.json."""
    usages = [reply.usage for reply in journal.replies.values()]
    tokens = {
        "prompt": sum(usage.prompt for usage in usages),
        "cached": sum(usage.cached for usage in usages),
        "output": sum(usage.output for usage in usages),
        "calls_without_usage": sum(not usage.complete for usage in usages),
    }
    spread: list[dict[str, Any]] = []
    if more.prompts:
        spread = coverage([one.text() for one in read.prompts], [one.text() for one in more.prompts])
    return {
        "teacher": {
            "model": settings.model,
            "base_url": settings.base_url,
            "temperature": settings.temperature,
            "refused": run.refused,
        },
        "consent": terms["consent"],
        "prompts": {
            "rows": read.rows,
            "different": len(read.prompts) + len(more.prompts),
            "duplicates": read.duplicates,
            "bad_rows": len(read.bad),
            "synthetic": len(more.prompts),
            "unanswered": written.unanswered,
        },
        "synthesis": {"too_alike": more.dropped, "unreadable_answers": more.unreadable, "coverage": spread}
        | {"aimed": list(more.aimed)},
        "splits": written.splits,
        "eval_share": settings.eval_share,
        "answers": written.states,
        "keep_refusals": settings.keep_refusals,
        "categories": written.categories,
        "tokens": tokens,
        "top_logprobs": settings.top_logprobs,
        "failed_attempts_of_last_run": run.failures,
        "given_up_in_last_run": dict(Counter(run.given_up.values()).most_common(5)),
        "cost": {
            "usd": plain(journal.spent),
            "possibly_usd": plain(journal.possible),
            "under_way_usd": plain(sum(sum(batch.worst.values()) for batch in journal.batches.values())),
            "calls_cut_off_by_a_kill": journal.lost,
            "replies": len(journal.replies),
        },
    }
