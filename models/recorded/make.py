"""Records the set: sends every prompt to a running vLLM server, scores the answers and writes answers.jsonl.

`python -m breakeven.models.recorded.make --base-url http://127.0.0.1:8000 --model student --out answers.jsonl`.
The same server counts the tokens of the reference answers, so that both counts are by one tokenizer.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from breakeven.models.recorded import Recorded
from breakeven.models.recorded.prompts.base import Prompt
from breakeven.models.recorded.prompts.catalog import prompts
from breakeven.models.scoring.checkers import score
from breakeven.router.files import write_atomically

# Of a log-probability; more would make the file larger, and say nothing.
_DIGITS = 4


class Recorder:
    """Records the answers of one vLLM server at temperature 0."""

    def __init__(
        self, client: httpx2.Client, model: str, max_tokens: int, *, system: str = "", logprobs: bool = False
    ) -> None:
        """`system`: a message before the prompt. `logprobs`: record the tokens and their log-probabilities too."""
        self._client = client
        self._model = model
        self._max_tokens = max_tokens
        self._first = [{"role": "system", "content": system}] if system else []
        self._logprobs = logprobs

    def record(self, numbered: tuple[str, Prompt]) -> Recorded:
        """The recorded row of a prompt with its id. Raises ValueError if the reference answer fails its own check, and
        httpx2.HTTPError if the server does.
        """
        row, prompt = numbered
        if score(prompt.checker, prompt.reference, prompt.teacher) != 1.0:
            raise ValueError(f"{row}: the reference answer {prompt.teacher!r} fails its check")
        asked = {"messages": [*self._first, {"role": "user", "content": prompt.prompt}], "temperature": 0}
        body = self._post("/v1/chat/completions", {**asked, "max_tokens": self._max_tokens, "logprobs": self._logprobs})
        choice, usage = body["choices"][0], body["usage"]
        answer = choice["message"]["content"] or ""
        tokens = choice["logprobs"]["content"] if self._logprobs else []
        return Recorded(
            id=row,
            category=prompt.category,
            prompt=prompt.prompt,
            checker=prompt.checker,
            reference=prompt.reference,
            student=answer,
            student_score=score(prompt.checker, prompt.reference, answer),
            student_prompt_tokens=usage["prompt_tokens"],
            student_tokens=usage["completion_tokens"],
            teacher=prompt.teacher,
            teacher_score=1.0,
            teacher_prompt_tokens=usage["prompt_tokens"],
            # Plus one for the end token, which servers count too.
            teacher_tokens=self._count(prompt.teacher) + 1,
            tokens=tuple(token["token"] for token in tokens),
            logprobs=tuple(round(token["logprob"], _DIGITS) for token in tokens),
        )

    def _count(self, text: str) -> int:
        return int(self._post("/tokenize", {"prompt": text, "add_special_tokens": False})["count"])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._client.post(path, json={"model": self._model, **body})
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=dict[str, Any])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; prints the share of right student answers by category and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m breakeven.models.recorded.make", description=__doc__)
    parser.add_argument("--base-url", required=True, help="the vLLM server, without /v1")
    parser.add_argument("--model", required=True, help="name that the server gives the student")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--max-tokens", type=int, default=160)
    parser.add_argument("--concurrency", type=int, default=8)
    options = parser.parse_args(arguments)
    with httpx2.Client(base_url=options.base_url, timeout=300.0) as client:
        recorder = Recorder(client, options.model, options.max_tokens)
        with ThreadPoolExecutor(options.concurrency) as pool:
            rows = list(pool.map(recorder.record, prompts()))
    write_atomically(options.out, b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    print(summary(rows))
    return 0


def summary(rows: Sequence[Recorded]) -> str:
    """A Markdown table of the prompts and the share of right student answers by category."""
    scores: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        scores[row.category].append(row.student_score)
    lines = ["| category | prompts | student right |", "| --- | --- | --- |"]
    for name, values in [*sorted(scores.items()), ("all", [row.student_score for row in rows])]:
        lines.append(f"| {name} | {len(values)} | {sum(values) / len(values):.0%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
