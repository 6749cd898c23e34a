"""The losses of distillation, as pure functions of tensors.

Unless noted, they take the m labelled positions that `select` gives, `logits` (m, v) and `labels` (m,), and return a
scalar tensor: the mean over the positions, in nats.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100
# The least probability of the remaining tokens, so that its logarithm stays finite.
_MIN_PROBABILITY = 1e-9


def label_positions(labels: Tensor) -> Tensor:
    """The positions (c,) whose logits are needed for labels (b, n): those before a label in any row.

    The logits at position i predict token i + 1.
    """
    return (labels[:, 1:] != IGNORED).any(0).nonzero()[:, 0]


def select(logits: Tensor, labels: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Select the m labelled positions from logits (b, c, v) at the positions `at` (c,) and labels (b, n).

    Returns their logits (m, v) in float32, their labels (m,), and the mask (b, c) that selects them: True where the
    label of the next position is not IGNORED.
    """
    following = labels[:, 1:][:, at]
    mask = following != IGNORED
    return logits[mask].float(), following[mask], mask


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean negative log-probability of the right tokens; 0 without positions. `weights` (m,) multiply each."""
    if not len(labels):
        return logits.sum() * 0.0
    if weights is None:
        return functional.cross_entropy(logits, labels)
    return _mean(functional.cross_entropy(logits, labels, reduction="none"), weights)


def divergence(student: Tensor, teacher: Tensor, temperature: float, weights: Tensor | None = None) -> Tensor:
    """T² · KL(teacher || student) of both distributions at temperature T (Hinton et al., 2015, arXiv 1503.02531).

    `student` and `teacher` are logits (m, v). The factor T² makes the scale of the gradients independent of T.
    """
    if not len(student):
        return student.sum() * 0.0
    log_student = functional.log_softmax(student / temperature, dim=-1)
    log_teacher = functional.log_softmax(teacher.float() / temperature, dim=-1)
    each = (log_teacher.exp() * (log_teacher - log_student)).sum(-1)
    return temperature**2 * _mean(each, weights)


def topk_divergence(
    student: Tensor, ids: Tensor, logprobs: Tensor, temperature: float, weights: Tensor | None = None
) -> Tensor:
    """The divergence when only the teacher's top k are known: `ids` (m, k), -1 where absent, and `logprobs` (m, k).

    All other tokens are merged into one outcome. At T = 1 the result is at most the full divergence, and equal to it if
    k covers the vocabulary. Positions without any id are left out.
    """
    known = ids >= 0
    present = known.any(-1)
    if not present.any():
        return student.sum() * 0.0
    student, ids, logprobs, known = student[present], ids[present], logprobs[present].float(), known[present]
    weights = None if weights is None else weights[present]
    log_all = functional.log_softmax(student, dim=-1).gather(-1, ids.clamp(min=0))
    log_teacher = _with_rest(logprobs, known) / temperature
    log_student = _with_rest(log_all, known) / temperature
    log_teacher = functional.log_softmax(log_teacher, dim=-1)
    log_student = functional.log_softmax(log_student, dim=-1)
    each = torch.where(log_teacher > -torch.inf, log_teacher.exp() * (log_teacher - log_student), 0.0).nansum(-1)
    return temperature**2 * _mean(each, weights)


def hidden_distance(student: Tensor, teacher: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean squared distance of projected student states (m, d) from the teacher's (m, d), over their mean square.

    The normalisation gives layers of different scale the same weight: 0 for equal states, 1 for a student whose states
    are 0. After TinyBERT (Jiao et al., 2020, arXiv 1909.10351).
    """
    if not len(student):
        return student.sum() * 0.0
    teacher = teacher.float()
    each = (student.float() - teacher).square().mean(-1)
    return _mean(each, weights) / teacher.square().mean().clamp(min=1e-12)


def blend(hard: Tensor, soft: Tensor, weight: float) -> Tensor:
    """The weighted mean of two losses: (1 - weight) · hard + weight · soft."""
    return (1.0 - weight) * hard + weight * soft


def _mean(each: Tensor, weights: Tensor | None) -> Tensor:
    """The mean over all positions of what each contributes, times its weight: a weight of 2 counts for two."""
    return each.mean() if weights is None else (each * weights).mean()


def _with_rest(logs: Tensor, known: Tensor) -> Tensor:
    """Log-probabilities (m, k) -> (m, k + 1): absent ones become very small, and the last column is the remainder."""
    logs = logs.masked_fill(~known, -1e4)
    rest = (1.0 - logs.exp().sum(-1, keepdim=True)).clamp(min=_MIN_PROBABILITY).log()
    return torch.cat([logs, rest], dim=-1)
