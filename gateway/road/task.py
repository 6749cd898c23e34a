"""What the gateway gives to learning and gets back; without the libraries that training needs."""

from __future__ import annotations

import msgspec

# One row of so many, the newest ones, is kept out of training.
NEWEST = 5


class Labelled(msgspec.Struct, frozen=True):
    """A comparison whose prompt is stored.

    `request`: the id of the request; `at`: when it came, in microseconds; `text`: what the router reads of it;
    `student`, `teacher`: the scores of the two answers, in [0, 1]; `weight`: one over the probability with which the
    request was compared; `logprob`: the mean log-probability of the first tokens of the student's answer, None where
    that is not known. `unit`: what routed it, such as the hash of the artifact: all comparisons under one unit, with
    their weights, are a sample of the traffic.
    """

    request: str
    at: int
    text: str
    student: float
    teacher: float
    weight: float = 1.0
    logprob: float | None = None
    unit: str = ""


class Task(msgspec.Struct, frozen=True):
    """What is to be learned.

    `rows`: all comparisons of one student and teacher, the oldest first. `floor` in (0, 1): the share of the teacher's
    quality to keep; `error`: the error probability of this look (see `promise.error_of_look`). `prior`: the directory
    of an artifact to start from, which must not have been trained on any of these rows: its knowledge of them would
    make the comparisons look better than new requests; None starts from nothing.
    """

    rows: list[Labelled]
    floor: float
    error: float
    prior: str | None = None


class Learned(msgspec.Struct, frozen=True):
    """What was learned from `rows` comparisons.

    `artifact`: the hash of the artifact that was written; its novelty is measured against the prompts of the rows.
    `trained`: whether it was trained; otherwise it is the prior, or the shipped artifact, because the comparisons are
    too few or too much alike to train on.

    The next ones are None where nothing can be promised yet. A request goes to the student if its score is below
    `threshold`, which holds for the share `share` of requests; with a `limit` the teacher's answer takes the place of
    the student's where the log-probability is below it. `answered`: the share of requests whose answer is then the
    student's. `retention`: the quality that was kept, as a share of the teacher's, and `low` what it is at least, with
    the confidence of this look.

    `missing`: about how many more comparisons would certify that the student answers the share `would_answer`, a tenth
    more than now; None where no number would, or it answers everything.
    """

    artifact: str
    trained: bool
    rows: int
    share: float | None = None
    limit: float | None = None
    answered: float | None = None
    threshold: float | None = None
    retention: float | None = None
    low: float | None = None
    missing: int | None = None
    would_answer: float | None = None
