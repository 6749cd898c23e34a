"""New prompts from seed prompts, written by the teacher.

After Self-Instruct (Wang et al., 2023, arXiv 2212.10560): the model is shown a few seeds and writes more prompts of the
same kinds; those too similar to an existing prompt are dropped.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from breakeven.models.client.call_runner import Stop
from breakeven.models.client.chat import Call
from breakeven.models.client.journal import Journal
from breakeven.models.client.json_in_text import json_values
from breakeven.models.client.pool import Pool
from breakeven.models.data.clusters import cluster
from breakeven.models.data.prompts import Prompt, key_of
from breakeven.models.generate.aim import Target

# How many seeds a call shows, and how many new prompts it requests.
_SHOWN = 5
_REQUESTED = 10
_TOO_SIMILAR = 0.85
_MAX_ROUNDS = 6
_MAX_TOKENS = 2048
_NUMBERED = re.compile(r"^\s*\d+[.)]\s+(.+)$", re.MULTILINE)


class Synthesized(NamedTuple):
    """New prompts, the number of proposals dropped as too similar and of answers that could not be read, and why it
    stopped early, or None. `aimed`: of each kind of prompt that was aimed at its name, loss and numbers.
    """

    prompts: list[Prompt]
    dropped: int
    unreadable: int
    stop: Stop | None
    aimed: tuple[dict[str, Any], ...] = ()


def seeds_of(prompts: Sequence[Prompt], eval_share: float) -> list[Prompt]:
    """The prompts that more may be made of: those for training, and all where none is."""
    return [one for one in prompts if one.split(eval_share) == "train"] or list(prompts)


async def synthesize(
    pool: Pool, journal: Journal, prompts: Sequence[Prompt], wanted: int, *, eval_share: float
) -> Synthesized:
    """Have the teacher write `wanted` new prompts; fewer where it runs out of different ones.

    Only training prompts are seeds; a proposal similar to any prompt, including held-out ones, is dropped. A call
    depends on the seeds and its number alone, so that a rerun finds its answers in the journal.
    """
    seeds, known = seeds_of(prompts, eval_share), _SimilarityIndex(prompts)
    return await _written(pool, journal, known, seeds, wanted, 0)


async def synthesize_aimed(
    pool: Pool, journal: Journal, prompts: Sequence[Prompt], targets: Sequence[Target]
) -> Synthesized:
    """As `synthesize`, with so many new prompts of each kind as its target wants, from its seeds alone."""
    known = _SimilarityIndex(prompts)
    found = Synthesized([], 0, 0, None)
    for one in targets:
        made = Synthesized([], 0, 0, None)
        if one.wanted and found.stop is None:
            made = await _written(pool, journal, known, one.seeds, one.wanted, len(found.prompts))
        said = {"kind": one.name, "gap": one.gap, "share": one.share, "seeds": len(one.seeds)}
        said |= {"wanted": one.wanted, "written": len(made.prompts)}
        found = Synthesized(
            [*found.prompts, *made.prompts],
            found.dropped + made.dropped,
            found.unreadable + made.unreadable,
            found.stop or made.stop,
            (*found.aimed, said),
        )
    return found


async def _written(
    pool: Pool, journal: Journal, known: _SimilarityIndex, seeds: Sequence[Prompt], wanted: int, before: int
) -> Synthesized:
    """New prompts from these seeds; `before`: how many there were already, for their names."""
    made: list[Prompt] = []
    dropped = unreadable = first = 0
    for _ in range(_MAX_ROUNDS):
        rounds = range(first, first + -(-(wanted - len(made)) * 13 // (_REQUESTED * 10)))
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
                seed = known.nearest(text)
                if seed is None or len(made) >= wanted:
                    dropped += seed is None
                    continue
                made.append(_prompt(text, seed, before + len(made)))
                known.add(text)
        if stop is not None or len(made) >= wanted:
            return Synthesized(made, dropped, unreadable, stop)
    return Synthesized(made, dropped, unreadable, None)


def read_list(text: str) -> list[str]:
    """The strings of the first JSON array in an answer that has any, or else the texts of its numbered lines."""
    for value in json_values(text, "["):
        texts = [item.strip() for item in value if isinstance(item, str) and item.strip()]
        if texts:
            return texts
    return [line.strip() for line in _NUMBERED.findall(text)]


def coverage(seeds: Sequence[str], made: Sequence[str]) -> list[dict[str, Any]]:
    """The number of `seeds` and of new prompts (`made`) in each cluster of the seeds: [{"terms", "seeds",
    "synthetic"}].

    Empty where the seeds cannot be clustered.
    """
    found = cluster(seeds, made)
    if found is None:
        return []
    return [
        {"terms": name, "seeds": found.labels.count(number), "synthetic": found.others.count(number)}
        for number, name in enumerate(found.names)
    ]


class _SimilarityIndex:
    """All prompts so far as hashed character n-grams, searched by cosine similarity."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        from scipy.sparse import vstack
        from sklearn.feature_extraction.text import HashingVectorizer

        self._vectors = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=2**18, lowercase=True)
        self._stack = vstack
        self._prompts = list(prompts)
        self._matrix = self._vectors.transform([one.text() for one in prompts])

    def nearest(self, text: str) -> Prompt | None:
        """The most similar original prompt; None where the text is too similar to any prompt so far."""
        similarity = (self._matrix @ self._vectors.transform([text]).T).toarray().ravel()
        if similarity.max() >= _TOO_SIMILAR:
            return None
        return self._prompts[int(similarity[: len(self._prompts)].argmax())]

    def add(self, text: str) -> None:
        """Add a new prompt, with which later ones are compared too."""
        self._matrix = self._stack([self._matrix, self._vectors.transform([text])]).tocsr()


def _call(seeds: Sequence[Prompt], number: int) -> Call:
    digest = hashlib.sha256("".join(one.key for one in seeds).encode()).hexdigest()[:16]
    shown = random.Random(f"{digest}:{number}").sample(list(seeds), min(_SHOWN, len(seeds)))
    examples = "\n\n".join(f"Request {i}:\n{one.text()}" for i, one in enumerate(shown, 1))
    text = (
        f"Here are {len(shown)} requests that users sent to an assistant.\n\n{examples}\n\n"
        f"Write {_REQUESTED} new requests of the same kinds that other users could send: different from these and from "
        "each other in subject, as varied in length, wording and difficulty as real ones, each complete in itself. "
        f"Answer with a JSON array of {_REQUESTED} strings and nothing else."
    )
    more = {"temperature": 1.0}
    return Call(f"synthesize:{digest}:{number}", [{"role": "user", "content": text}], _MAX_TOKENS, more)


def _prompt(text: str, seed: Prompt, number: int) -> Prompt:
    """A new prompt, with the system message, the tools and the category of the most similar `seed`."""
    system = [m for m in seed.messages[:1] if m["role"] in ("system", "developer")]
    messages = [*system, {"role": "user", "content": text}]
    category = seed.carried.get("category")
    carried = {"synthetic": True} | ({"category": category} if category is not None else {})
    return Prompt(f"synthetic-{number + 1}", key_of(messages, seed.asked), messages, carried, seed.asked)
