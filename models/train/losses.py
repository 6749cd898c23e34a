"""The losses of distillation, as pure functions of tensors.

All take the labelled positions only: `logits` (m, v), `labels` (m,), as `select` gives them; all give a
scalar, the mean over positions, in nats.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100
# The least share that a remainder can have, so that its logarithm stays finite.
_LEAST = 1e-9


def places(labels: Tensor) -> Tensor:
    """Positions (c,) whose logits are needed for labels (b, n): of any row, those before a label.

    Position i predicts token i + 1.
    """
    return (labels[:, 1:] != IGNORED).any(0).nonzero()[:, 0]


def select(logits: Tensor, labels: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (b, c, v) at the positions `at` (c,) and labels (b, n) -> those of the m labelled positions, in float32,
    and their mask (b, c): True where the label of the next position is not IGNORED.
    """
    following = labels[:, 1:][:, at]
    mask = following != IGNORED
    return logits[mask].float(), following[mask], mask


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log of the share that the student gives to the right token; 0 where there are no positions."""
    if not len(labels):
        return logits.sum() * 0.0
    return functional.cross_entropy(logits, labels)


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher || student), both distributions softened by T (Hinton et al., 2015, arXiv 1503.02531).

    `student`, `teacher`: logits (m, v). T² keeps the size of the gradients whatever T is.
    """
    if not len(student):
        return student.sum() * 0.0
    log_student = functional.log_softmax(student / temperature, dim=-1)
    log_teacher = functional.log_softmax(teacher.float() / temperature, dim=-1)
    each = (log_teacher.exp() * (log_teacher - log_student)).sum(-1)
    return temperature**2 * each.mean()


def topk_divergence(student: Tensor, ids: Tensor, logprobs: Tensor, temperature: float) -> Tensor:
    """The same where only the teacher's top k are known: `ids` (m, k), -1 where absent, `logprobs` (m, k).

    What both give to all other tokens is one further outcome. At T = 1 this is never above the full
    divergence, and equal to it where k covers the vocabulary. Positions without any id count nothing.
    """
    known = ids >= 0
    there = known.any(-1)
    if not there.any():
        return student.sum() * 0.0
    student, ids, logprobs, known = student[there], ids[there], logprobs[there].float(), known[there]
    log_all = functional.log_softmax(student, dim=-1).gather(-1, ids.clamp(min=0))
    log_teacher = _with_rest(logprobs, known) / temperature
    log_student = _with_rest(log_all, known) / temperature
    log_teacher = functional.log_softmax(log_teacher, dim=-1)
    log_student = functional.log_softmax(log_student, dim=-1)
    each = torch.where(log_teacher > -torch.inf, log_teacher.exp() * (log_teacher - log_student), 0.0).nansum(-1)
    return temperature**2 * each.mean()


def hidden_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared distance of projected student states (m, d) from the teacher's (m, d), over their mean square.

    The division makes layers of different scale count alike; 0 is equal, 1 as far as a student that says 0.
    After TinyBERT (Jiao et al., 2020, arXiv 1909.10351).
    """
    if not len(student):
        return student.sum() * 0.0
    teacher = teacher.float()
    return (student.float() - teacher).square().mean() / teacher.square().mean().clamp(min=1e-12)


def blend(hard: Tensor, soft: Tensor, weight: float) -> Tensor:
    """(1 - weight) · hard + weight · soft."""
    return (1.0 - weight) * hard + weight * soft


def _with_rest(logs: Tensor, known: Tensor) -> Tensor:
    """Log shares (m, k) -> (m, k + 1): absent ones at the least, and the rest of all in the last column."""
    logs = logs.masked_fill(~known, -1e4)
    rest = (1.0 - logs.exp().sum(-1, keepdim=True)).clamp(min=_LEAST).log()
    return torch.cat([logs, rest], dim=-1)
