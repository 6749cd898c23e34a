"""The support desk's recorded set: scores are recomputed, and it belongs to the held-out requests."""

from __future__ import annotations

from breakeven.models import recorded
from breakeven.models.examples.held_out import held_out
from breakeven.models.examples.record_desk import prompt_of, summary
from breakeven.models.scoring.checkers import score

ROWS = recorded.load_desk()


def test_it_has_both_answers_to_every_held_out_request() -> None:
    assert len(ROWS) >= 600
    wanted = [(one.id, one.wording, prompt_of(one)) for one in held_out(len(ROWS))]
    assert [(row.id, row.wording, row.prompt) for row in ROWS] == [(i, w, p.prompt) for i, w, p in wanted]
    for row, (_, _, prompt) in zip(ROWS, wanted, strict=True):
        assert (row.category, row.checker, row.reference) == (prompt.category, prompt.checker, prompt.reference)
        assert (row.teacher, row.teacher_score) == (prompt.teacher, 1.0)
        assert row.student_score == score(row.checker, row.reference, row.student), row.id


def test_tokens_and_their_log_probabilities_are_those_of_the_answer() -> None:
    for row in ROWS:
        assert len(row.tokens) == len(row.logprobs) == row.student_tokens, row.id
        assert all(value <= 0.0 for value in row.logprobs), row.id
        assert "".join(row.tokens).startswith(row.student), row.id


def test_the_student_is_surer_of_its_right_answers() -> None:
    def least(right: bool) -> list[float]:
        return [min(row.logprobs) for row in ROWS if (row.student_score == 1.0) is right]

    right, wrong = least(True), least(False)
    pairs = [(a > b) + (a == b) / 2 for a in right for b in wrong]
    assert sum(pairs) / len(pairs) > 0.7


def test_the_file_is_small() -> None:
    assert len(recorded.files().joinpath("desk.jsonl.gz").read_bytes()) < 1_500_000


def test_the_readme_has_its_table() -> None:
    readme = recorded.files().joinpath("README.md").read_text(encoding="utf-8")
    assert summary(ROWS) in readme


def test_comparisons_are_scored_by_the_prompts_own_check() -> None:
    row = next(row for row in ROWS if row.checker == "number")
    asked = {"messages": [{"role": "user", "content": row.prompt}]}
    assert recorded.score(f"It is {row.reference} EUR", row.teacher, asked) == 1.0
    assert recorded.score("It is 0.01 EUR", row.teacher, asked) == 0.0
