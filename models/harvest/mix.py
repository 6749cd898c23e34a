"""How much of which kind of conversation goes into the training rows: by where the student was measured to lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from breakeven.models.data.clusters import cluster
from breakeven.models.data.prompts import hashed_share
from breakeven.models.harvest.select import Candidate

# With fewer comparisons of a kind the loss of its whole workload stands for it.
_ENOUGH = 10
_LEAST, _MOST = 0.25, 4.0


class Kind(NamedTuple):
    """A kind of conversation: its workload and the words that mark it, its number of `rows`, of these that were
    `compared`, the mean `loss` of those in the teacher's scores, None where there are too few, the `weight` of its
    rows, 1 on average, and what the teacher's answers have cost in picodollars, as far as that was reported.
    """

    name: str
    rows: int
    compared: int
    loss: float | None
    weight: float
    cost: int


class Mixed(NamedTuple):
    """The kinds, and for each candidate the place of its own."""

    kinds: list[Kind]
    places: list[int]


def mix(candidates: Sequence[Candidate]) -> Mixed:
    """The kinds of the candidates, by workload and by words, with their losses and weights."""
    names, places = _grouped(candidates)
    groups: list[list[Candidate]] = [[] for _ in names]
    for place, one in zip(places, candidates, strict=True):
        groups[place].append(one)
    losses = [_loss(group) for group in groups]
    workloads = {one.kept.workload for one in candidates}
    whole = {name: _loss([one for one in candidates if one.kept.workload == name]) for name in workloads}
    stands = [
        own if own is not None else whole[group[0].kept.workload] for own, group in zip(losses, groups, strict=True)
    ]
    weights = _weights(stands, [len(group) for group in groups])
    return Mixed(
        [
            Kind(name, len(group), _compared(group), loss, weight, sum(one.cost or 0 for one in group))
            for name, group, loss, weight in zip(names, groups, losses, weights, strict=True)
        ],
        places,
    )


def choose(candidates: Sequence[Candidate], weights: Sequence[float], rows: int, rehearse: float) -> list[int]:
    """The places of at most `rows` of the candidates, in order. Of these a share `rehearse`, in [0, 1], is for what
    nothing says that the student lacks, as far as there is so much; the other places are for what it lacks.

    Among these a row is drawn with a probability that grows with its weight (Efraimidis and Spirakis 2006), by a hash
    of its id, so that the same rows are drawn again.
    """
    keys = [_uniform(one.kept.request) ** (1.0 / weight) for one, weight in zip(candidates, weights, strict=True)]
    order = sorted(range(len(candidates)), key=lambda place: -keys[place])
    lacking = [place for place in order if candidates[place].lacks]
    others = [place for place in order if not candidates[place].lacks]
    of_others = min(len(others), max(round(rows * rehearse), rows - len(lacking)))
    return sorted([*lacking[: rows - of_others], *others[:of_others]])


def _grouped(candidates: Sequence[Candidate]) -> tuple[list[str], list[int]]:
    """Names of the kinds, and the kind of each candidate."""
    names: list[str] = []
    places = [0] * len(candidates)
    for workload in sorted({one.kept.workload for one in candidates}):
        own = [place for place, one in enumerate(candidates) if one.kept.workload == workload]
        found = cluster([_asked(candidates[place]) for place in own])
        labels = [0] * len(own) if found is None else found.labels
        for place, label in zip(own, labels, strict=True):
            places[place] = len(names) + label
        names += [workload] if found is None else [f"{workload}: {words}" for words in found.names]
    used = sorted(set(places)) if candidates else []
    return [names[place] for place in used], [used.index(place) for place in places]


def _asked(one: Candidate) -> str:
    return next((str(m.get("content")) for m in reversed(one.row["messages"]) if m.get("role") == "user"), "")


def _compared(group: Sequence[Candidate]) -> int:
    return sum(one.loss is not None for one in group)


def _loss(group: Sequence[Candidate]) -> float | None:
    """The mean loss of those that were compared, each weighted by the inverse of its probability to be."""
    compared = [(one.loss, one.weight) for one in group if one.loss is not None]
    if len(compared) < _ENOUGH:
        return None
    return sum(loss * weight for loss, weight in compared) / sum(weight for _, weight in compared)


def _weights(losses: Sequence[float | None], rows: Sequence[int]) -> list[float]:
    """Weights in proportion to the losses, within limits, whose mean over all rows is 1. What was not measured counts
    as the mean of what was.
    """
    known = [(loss, count) for loss, count in zip(losses, rows, strict=True) if loss is not None]
    mean = sum(max(loss, 0.0) * count for loss, count in known) / max(1, sum(count for _, count in known))
    if mean <= 0:
        return [1.0] * len(losses)
    raw = [1.0 if loss is None else min(max(loss / mean, _LEAST), _MOST) for loss in losses]
    scale = sum(rows) / sum(weight * count for weight, count in zip(raw, rows, strict=True))
    return [weight * scale for weight in raw]


def _uniform(id: str) -> float:
    """A number in (0, 1) that depends on the id alone."""
    return hashed_share(f"mix:{id}") + 2.0**-49
