"""Near-duplicates among conversations, by MinHash (Broder 1997) over three-word shingles, with datasketch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from breakeven.models.errors import DistillError

_WORDS = 3
_PERMUTATIONS = 128
# Pairs are searched from somewhat below the threshold on, so that few are missed; each one found is then measured.
_SEARCH = 0.8
# Shingles in more than this share of the conversations are a template of the client's, which makes none of them alike.
_TEMPLATE_SHARE = 0.1
_FEWEST = 20


def require_datasketch() -> None:
    """Raises DistillError where the library is missing."""
    try:
        import datasketch  # noqa: F401
    except ModuleNotFoundError:
        raise DistillError("near-duplicates need datasketch: pip install 'breakeven[harvest]'") from None


def near_duplicates(conversations: Sequence[Sequence[dict[str, Any]]], similar: float) -> list[int | None]:
    """For each conversation the place of an earlier one that it nearly repeats and that repeats no other itself, or
    None. Two are near-duplicates where the Jaccard similarity of their shingles is at least `similar`, in (0, 1], and
    that of the last things that were said to the model too: the next turn of a conversation is none.

    What a system message says does not count.
    """
    from datasketch import MinHash, MinHashLSH

    wholes, lasts = _without_templates(map(_whole, conversations)), [_shingles(_last(one)) for one in conversations]
    index = MinHashLSH(threshold=similar * _SEARCH, num_perm=_PERMUTATIONS)
    found: list[int | None] = []
    for place, (whole, last) in enumerate(zip(wholes, lasts, strict=True)):
        mark = MinHash(num_perm=_PERMUTATIONS)
        mark.update_batch([shingle.encode("utf-8", "replace") for shingle in whole])
        alike = (
            other
            for other in sorted(index.query(mark))
            if _jaccard(whole, wholes[other]) >= similar and _jaccard(last, lasts[other]) >= similar
        )
        found.append(next(alike, None))
        if found[-1] is None:
            index.insert(place, mark)
    return found


def _without_templates(texts: Any) -> list[frozenset[str]]:
    """The shingles of each text, without those that many share, unless it has no others."""
    found = [_shingles(text) for text in texts]
    if len(found) < _FEWEST:
        return found
    counts = Counter(shingle for one in found for shingle in one)
    most = _TEMPLATE_SHARE * len(found)
    return [frozenset(shingle for shingle in one if counts[shingle] <= most) or one for one in found]


def _whole(messages: Sequence[dict[str, Any]]) -> str:
    return "\n".join(
        str(one.get("content") or "") for one in messages if one.get("role") not in ("system", "developer")
    )


def _last(messages: Sequence[dict[str, Any]]) -> str:
    return str(messages[-1].get("content") or "") if messages else ""


def _shingles(text: str) -> frozenset[str]:
    words = text.casefold().split()
    return frozenset(" ".join(words[at : at + _WORDS]) for at in range(max(1, len(words) - _WORDS + 1)))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
