"""What more outcome rows would allow: the promise that they could make, beside what these rows measure."""

from __future__ import annotations

from breakeven.router.evaluation.tune import Traffic, certified, excess, repeated, tested

# Multiples of the given rows that are tried, as long as that takes a few seconds: so many rows leave little to chance.
_MULTIPLES = (2, 3, 4, 6, 8, 12, 16)
_MOST_ROWS = 100_000


def measured_share(traffic: Traffic, floor: float, min_logprob: float | None = None) -> float:
    """The largest share of the requests with whose answers by the student these rows keep the floor, in [0, 1]: what
    they measure, of which chance is a part, and not what they promise.

    `min_logprob` is an escalation limit. Raises TuneError where the rows have no scores.
    """
    shares = (
        1.0 - float(traffic.sent_up(threshold, min_logprob).mean())
        for threshold in tested(traffic)
        if excess(traffic, threshold, floor, min_logprob).mean() >= 0.0
    )
    return max(shares, default=0.0)


def missing_rows(
    traffic: Traffic, floor: float, confidence: float, answered: float, min_logprob: float | None = None
) -> int | None:
    """About how many more rows like these would promise the floor with the share `answered` of the requests, in [0, 1],
    answered by the student; None where no number that is tried would.
    """
    count = len(traffic.score)
    for multiple in _tried(count):
        threshold = certified(repeated(traffic, multiple), floor, confidence, min_logprob)
        if threshold is not None and 1.0 - traffic.sent_up(threshold, min_logprob).mean() >= answered:
            return count * (multiple - 1)
    return None


def most_tried(count: int) -> int:
    """How many more than so many rows `missing_rows` tries at most; 0 where these are too many to be repeated."""
    return count * (max(_tried(count), default=1) - 1)


def _tried(count: int) -> list[int]:
    return [multiple for multiple in _MULTIPLES if count * multiple <= _MOST_ROWS]
