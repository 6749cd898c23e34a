"""The losses compared with values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from breakeven.models.train import losses


def logs(*probabilities: float) -> object:
    return torch.tensor([[math.log(one) for one in probabilities]])


def test_positions_predict_the_next_token_and_only_labelled_ones_count() -> None:
    logits = torch.arange(2 * 4 * 3, dtype=torch.float32).reshape(2, 4, 3)
    labels = torch.tensor([[-100, -100, 1, 2], [0, -100, -100, -100]])
    positions = losses.label_positions(labels)
    assert positions.tolist() == [1, 2], "no other position comes before a label, in any row"
    chosen, wanted, mask = losses.select(logits[:, positions], labels, positions)
    assert mask.tolist() == [[True, True], [False, False]]
    assert wanted.tolist() == [1, 2]
    assert chosen.tolist() == [logits[0, 1].tolist(), logits[0, 2].tolist()]


def test_cross_entropy_matches_values_computed_by_hand() -> None:
    found = losses.cross_entropy(torch.cat([logs(0.5, 0.5), logs(0.25, 0.75)]), torch.tensor([0, 1]))
    assert found.item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    assert losses.cross_entropy(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)).item() == 0.0


def test_the_divergence_at_two_temperatures_matches_values_computed_by_hand() -> None:
    student, teacher = logs(0.5, 0.5), logs(0.75, 0.25)
    at_one = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert losses.divergence(student, teacher, 1.0).item() == pytest.approx(at_one)
    # At T = 2 the teacher's probabilities are as the square roots, 3 ** 0.5 to 1; the student's stay equal.
    p = math.sqrt(3) / (math.sqrt(3) + 1)
    at_two = 4 * (p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p)))
    assert losses.divergence(student, teacher, 2.0).item() == pytest.approx(at_two)
    assert losses.divergence(teacher, teacher, 3.0).item() == pytest.approx(0.0, abs=1e-7)


def test_the_gradient_of_the_divergence_is_the_difference_of_the_probabilities() -> None:
    teacher = logs(0.7, 0.2, 0.1)
    for temperature in (1.0, 4.0):
        student = torch.zeros(1, 3, requires_grad=True)
        losses.divergence(student, teacher, temperature).backward()
        softened = torch.softmax(teacher / temperature, -1)
        assert torch.allclose(student.grad, temperature * (1 / 3 - softened), atol=1e-6)


def test_top_k_over_the_whole_vocabulary_equals_the_full_divergence() -> None:
    torch.manual_seed(1)
    student, teacher = torch.randn(5, 7), torch.randn(5, 7)
    found = torch.log_softmax(teacher, -1).topk(7)
    full = losses.divergence(student, teacher, 1.0).item()
    assert losses.topk_divergence(student, found.indices, found.values, 1.0).item() == pytest.approx(full, rel=1e-4)
    part = torch.log_softmax(teacher, -1).topk(3)
    some = losses.topk_divergence(student, part.indices, part.values, 1.0).item()
    assert 0 < some < full, "merging outcomes never raises a divergence"


def test_top_one_and_the_remainder_match_a_value_computed_by_hand() -> None:
    student, ids, known = logs(0.5, 0.3, 0.2), torch.tensor([[0]]), torch.tensor([[math.log(0.8)]])
    expected = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    assert losses.topk_divergence(student, ids, known, 1.0).item() == pytest.approx(expected, rel=1e-5)
    root = math.sqrt(0.8) / (math.sqrt(0.8) + math.sqrt(0.2))
    softened = 4 * (root * math.log(2 * root) + (1 - root) * math.log(2 * (1 - root)))
    assert losses.topk_divergence(student, ids, known, 2.0).item() == pytest.approx(softened, rel=1e-5)


def test_absent_alternatives_and_positions_are_left_out() -> None:
    student = torch.cat([logs(0.5, 0.3, 0.2), logs(0.1, 0.1, 0.8)])
    ids = torch.tensor([[0, -1], [-1, -1]])
    known = torch.tensor([[math.log(0.8), 0.0], [0.0, 0.0]])
    expected = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    assert losses.topk_divergence(student, ids, known, 1.0).item() == pytest.approx(expected, rel=1e-5)
    nothing = losses.topk_divergence(student, torch.full((2, 1), -1), torch.zeros(2, 1), 1.0)
    assert nothing.item() == 0.0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 5.0])
def test_gradients_are_finite_for_extreme_logits(temperature: float) -> None:
    student = torch.tensor([[80.0, -80.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    teacher = torch.tensor([[-90.0, 90.0, 0.0], [500.0, 0.0, 0.0]])
    found = torch.log_softmax(teacher, -1).topk(2)
    total = losses.divergence(student, teacher, temperature)
    total = total + losses.topk_divergence(student, found.indices, found.values, temperature)
    total = total + losses.cross_entropy(student, torch.tensor([1, 0]))
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(student.grad).all()


def test_hidden_distance_matches_values_computed_by_hand() -> None:
    teacher = torch.tensor([[3.0, 4.0]])
    assert losses.hidden_distance(teacher, teacher).item() == 0.0
    assert losses.hidden_distance(torch.zeros(1, 2), teacher).item() == pytest.approx(1.0)
    # (1 + 1) / 2 over (9 + 16) / 2.
    assert losses.hidden_distance(torch.tensor([[4.0, 5.0]]), teacher).item() == pytest.approx(2 / 25)
    assert losses.hidden_distance(torch.zeros(0, 2), torch.zeros(0, 2)).item() == 0.0


def test_blend_is_the_weighted_mean() -> None:
    assert losses.blend(torch.tensor(2.0), torch.tensor(10.0), 0.25).item() == 4.0
