"""What compared answers of this student say of a threshold: the quality to expect, and one that keeps a floor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.gateway.ledger import Ledger
from breakeven.gateway.road.judges import measures
from breakeven.gateway.road.promise import SHARES, Comparisons, Setting, answered, missing, retention
from breakeven.gateway.road.promise import solve as certify
from breakeven.gateway.road.stages import read_state
from breakeven.router.evaluation.tune import Traffic, TuneError
from breakeven.router.model.artifact import Artifact
from breakeven.router.statistics import Interval, retained

# With fewer comparisons nothing is said of the quality.
LEAST = 30
# Prompts that are scored now, since they were not when they came: a fraction of a second.
_SCORED_NOW = 1000
Array = NDArray[np.float64]


class Labels(NamedTuple):
    """Comparisons of one's own traffic with the current student, (n,) each.

    `score` is of one artifact, which was not trained on them; `novel` ones go to the teacher at every threshold.
    `student` and `teacher` are the scores of the answers in [0, 1], `weight` is one over the probability of comparing,
    and `logprob` the mean log-probability of the student's first tokens, None unless all are known.
    """

    score: Array
    novel: NDArray[np.bool_]
    student: Array
    teacher: Array
    weight: Array
    logprob: Array | None = None

    @property
    def missing(self) -> int:
        """How many more are needed before anything is said of the quality."""
        return max(0, LEAST - len(self.score))


def read(ledger: Ledger, artifact: Artifact, novelty_threshold: float, workload: str | None = None) -> Labels:
    """The comparisons of a workload, or of all, that count now: those set aside when traffic or a model changed do
    not, nor those of a judge whose verdicts measure nothing.

    An artifact that was not trained on outcomes scores stored prompts that it did not score then. Raises LedgerError.
    """
    since = _measured_since(ledger)
    silent = _silent(ledger, since)
    found, now = [], _SCORED_NOW if artifact.difficulty.ranks else 0
    for one in ledger.road.labels(artifact.hash, workload):
        if one.at < since.get(one.workload, 0) or one.workload in silent:
            continue
        if one.score is not None:
            found.append(one)
        elif one.text is not None and now:
            seen, now = artifact.assess(one.text), now - 1
            found.append(one._replace(score=seen.score, novelty=seen.novelty or 0.0))
    logprobs = [one.logprob for one in found if one.logprob is not None]
    return Labels(
        np.array([one.score for one in found], dtype=float),
        np.array([one.novelty for one in found]) >= novelty_threshold,
        np.array([one.student for one in found]),
        np.array([one.teacher for one in found]),
        np.array([one.weight for one in found]),
        np.array(logprobs) if found and len(logprobs) == len(found) else None,
    )


def _measured_since(ledger: Ledger) -> Mapping[str, int]:
    states = {name: document for name, (_, document) in ledger.road.states().items()}
    return {name: read_state(name, text).measured_since for name, text in states.items()}


def _silent(ledger: Ledger, since: Mapping[str, int]) -> set[str]:
    """The workloads with a judge whose verdicts measure nothing."""
    names = ledger.road.workloads()
    return {name for name in names if not measures(ledger.judged_pairs.verdicts(since.get(name, 0), name))}


def not_measured(count: int) -> str:
    """What is said in the place of a figure, with the number of comparisons that it takes."""
    return f"not measured yet: {count} more comparison{'s' * (count != 1)}"


def expected(labels: Labels, threshold: float, min_logprob: float | None = None) -> Interval | None:
    """The share of the teacher's quality that a threshold keeps, and an escalation limit where given, with its 95%
    interval; None for fewer than LEAST comparisons.
    """
    if labels.missing:
        return None
    up = labels.novel | (labels.score >= threshold)
    if min_logprob is not None and labels.logprob is not None:
        up = up | (labels.logprob < min_logprob)
    routed = np.where(up, labels.teacher, labels.student)
    if up.all():
        return Interval(1.0, 1.0, 1.0)
    return retained(list(zip(routed.tolist(), labels.teacher.tolist(), labels.weight.tolist(), strict=True)))


def traffic(labels: Labels) -> Traffic:
    """The compared requests as traffic, for a ledger whose other requests were not scored: as many, each taken as often
    as its weight says.
    """
    count = len(labels.score)
    # In the order of what tells them apart, so that no pattern in the order of arrival decides which are taken.
    order = np.lexsort((labels.score, labels.novel))
    until = np.cumsum(labels.weight[order]) / labels.weight.sum()
    taken = order[np.minimum(np.searchsorted(until, (np.arange(count) + 0.5) / count), count - 1)]
    return Traffic(labels.score[taken], labels.novel[taken])


def solve(labels: Labels, floor: float, confidence: float, *, escalation: bool) -> tuple[float, float | None]:
    """The threshold, and with `escalation` the limit of log-probability, with which the student answers most and the
    floor, a share of the teacher's quality in (0, 1), is kept with this confidence.

    Raises TuneError where none is certified; the message says how many more comparisons it takes.
    """
    if labels.missing:
        raise TuneError(f"quality: {not_measured(labels.missing)}; road.sample says how often answers are compared")
    if escalation and labels.logprob is None:
        raise TuneError("no log-probabilities are known of the compared answers")
    compared = _compared(labels, escalation=escalation)
    promise = certify(compared, floor, 1.0 - confidence)
    if promise is not None:
        share, limit = promise.setting.share, promise.setting.limit
        above = labels.score[~labels.novel & (compared.rank >= share)]
        return (float(above.min()) if len(above) else 1.0), limit
    more, count = missing(compared, floor, 1.0 - confidence, SHARES[0]), len(compared.rank)
    if more is None:
        raise TuneError(
            f"{count} comparisons do not show that a share of the traffic keeps {floor:.1%} of the teacher's quality, "
            "and sixteen times as many like these would not: lower the floor, or train a better router or student"
        )
    raise TuneError(
        f"{count} comparisons are too few to promise {floor:.1%} with {confidence:.0%} confidence: about {more} more "
        "are needed, if they are like these"
    )


def measured_share(labels: Labels, floor: float, limit: float | None) -> float:
    """The largest share of the requests with whose answers by the student these comparisons keep the floor, in [0, 1]:
    what they measure, of which chance is a part, and not what they promise. `limit` is that of escalation.
    """
    compared = _compared(labels, escalation=limit is not None)
    kept = (share for share in SHARES if retention(compared, Setting(share, limit, 0.0)) >= floor)
    return max((answered(compared, share, limit) for share in kept), default=0.0)


def missing_comparisons(
    labels: Labels, floor: float, confidence: float, share: float, *, escalation: bool
) -> int | None:
    """About how many more comparisons like these would promise the floor with the `share` of the requests answered by
    the student; None where no number that is tried would.
    """
    return missing(_compared(labels, escalation=escalation), floor, 1.0 - confidence, share)


def _compared(labels: Labels, *, escalation: bool) -> Comparisons:
    logprob = labels.logprob if escalation else None
    return Comparisons(_ranks(labels), labels.student, labels.teacher, labels.weight, logprob)


def _ranks(labels: Labels) -> Array:
    """The share of the compared traffic with a lower score, by weight, (n,); 1 for what is novel."""
    order = np.argsort(labels.score, kind="stable")
    before = np.concatenate([[0.0], np.cumsum(labels.weight[order])[:-1]]) / labels.weight.sum()
    first = np.searchsorted(labels.score[order], labels.score, side="left")
    ranks: Array = np.where(labels.novel, 1.0, before[first])
    return ranks
