"""New prompts from seed prompts, written by the teacher.

After Self-Instruct (Wang et al., 2023, arXiv 2212.10560): the model sees a few seeds and writes more of
their kind; what is too much like one that is there already is dropped.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from breakeven.models.client.chat import Call
from breakeven.models.client.journal import Journal
from breakeven.models.client.pool import Pool
from breakeven.models.client.stops import Stop
from breakeven.models.data.clusters import cluster
from breakeven.models.data.prompts import Prompt, key_of

_SHOWN = 5
_ASKED = 10
_TOO_ALIKE = 0.85
_MOST_BATCHES = 6
_MAX_TOKENS = 2048
_NUMBERED = re.compile(r"^\s*\d+[.)]\s+(.+)$", re.MULTILINE)


class Synthesized(NamedTuple):
    """New prompts, and how many proposals were dropped as too much alike or unreadable."""

    prompts: list[Prompt]
    dropped: int
    unreadable: int
    stop: Stop | None


async def synthesize(
    pool: Pool, journal: Journal, prompts: Sequence[Prompt], wanted: int, *, eval_share: float
) -> Synthesized:
    """`wanted` new prompts, or fewer where the teacher has no new ideas.

    Seeds are the training prompts only; a proposal that is like any prompt, a held-out one among them, is
    dropped. What is asked depends on the seeds and the round alone, so a rerun finds its own answers.
    """
    seeds = [one for one in prompts if one.split(eval_share) == "train"] or list(prompts)
    found = _Filter(prompts)
    made: list[Prompt] = []
    dropped = unreadable = first = 0
    for _ in range(_MOST_BATCHES):
        rounds = range(first, first + -(-(wanted - len(made)) * 13 // (_ASKED * 10)))
        first = rounds.stop
        calls = [_call(seeds, number) for number in rounds]
        stop = await pool.run(calls)
        for call in calls:
            reply = journal.replies.get(call.key)
            if reply is None:
                continue
            proposals = read_list(reply.text)
            unreadable += not proposals
            for text in proposals:
                alike = found.nearest(text)
                if alike is None or len(made) >= wanted:
                    dropped += alike is None
                    continue
                made.append(_prompt(text, alike, len(made)))
                found.add(text)
        if stop is not None or len(made) >= wanted:
            return Synthesized(made, dropped, unreadable, stop)
    return Synthesized(made, dropped, unreadable, None)


def read_list(text: str) -> list[str]:
    """The texts of the first JSON array in an answer, or else of its numbered lines."""
    decoder = json.JSONDecoder()
    for start in re.finditer(r"\[", text):
        try:
            value, _ = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        texts = [item.strip() for item in value if isinstance(item, str) and item.strip()]
        if texts:
            return texts
    return [line.strip() for line in _NUMBERED.findall(text)]


def coverage(seeds: Sequence[str], made: Sequence[str]) -> list[dict[str, Any]]:
    """How seeds and new prompts spread over clusters of the seeds: [{"terms", "seeds", "synthetic"}]."""
    found = cluster(seeds, made)
    if found is None:
        return []
    return [
        {"terms": name, "seeds": found.labels.count(number), "synthetic": found.others.count(number)}
        for number, name in enumerate(found.names)
    ]


class _Filter:
    """All prompts so far as hashed character n-grams; finds the nearest by cosine."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        from scipy.sparse import vstack
        from sklearn.feature_extraction.text import HashingVectorizer

        self._vectors = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=2**18, lowercase=True)
        self._stack = vstack
        self._prompts = list(prompts)
        self._matrix = self._vectors.transform([one.text() for one in prompts])

    def nearest(self, text: str) -> Prompt | None:
        """The nearest of the prompts that were there from the start; None where the text is too much alike."""
        likeness = (self._matrix @ self._vectors.transform([text]).T).toarray().ravel()
        if likeness.max() >= _TOO_ALIKE:
            return None
        return self._prompts[int(likeness[: len(self._prompts)].argmax())]

    def add(self, text: str) -> None:
        self._matrix = self._stack([self._matrix, self._vectors.transform([text])]).tocsr()


def _call(seeds: Sequence[Prompt], number: int) -> Call:
    digest = hashlib.sha256("".join(one.key for one in seeds).encode()).hexdigest()[:16]
    shown = random.Random(f"{digest}:{number}").sample(list(seeds), min(_SHOWN, len(seeds)))
    examples = "\n\n".join(f"Request {i}:\n{one.text()}" for i, one in enumerate(shown, 1))
    text = (
        f"Here are {len(shown)} requests that users sent to an assistant.\n\n{examples}\n\n"
        f"Write {_ASKED} new requests of the same kinds that other users could send: different from these and from "
        "each other in subject, as varied in length, wording and difficulty as real ones, each complete in itself. "
        f"Answer with a JSON array of {_ASKED} strings and nothing else."
    )
    more = {"temperature": 1.0}
    return Call(f"synthesize:{digest}:{number}", [{"role": "user", "content": text}], _MAX_TOKENS, more)


def _prompt(text: str, alike: Prompt, number: int) -> Prompt:
    """In the surroundings of the seed that it is most like: its system message and its category."""
    system = [m for m in alike.messages[:1] if m["role"] in ("system", "developer")]
    messages = [*system, {"role": "user", "content": text}]
    category = alike.carried.get("category")
    carried = {"synthetic": True} | ({"category": category} if category is not None else {})
    return Prompt(f"synthetic-{number + 1}", key_of(messages), messages, carried)
