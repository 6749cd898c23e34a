"""The recorded set: scores are recomputed, and prompts compared with those of the generator."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from breakeven.models import recorded
from breakeven.models.recorded.make import summary
from breakeven.models.recorded.prompts.catalog import prompts
from breakeven.models.scoring.checkers import score


def test_every_score_is_that_of_its_checker() -> None:
    rows = recorded.load()
    assert len(rows) >= 300
    for row in rows:
        assert row.student_score == score(row.checker, row.reference, row.student), row.id
        assert row.teacher_score == score(row.checker, row.reference, row.teacher) == 1.0, row.id


def test_rows_are_distinct_and_have_token_counts() -> None:
    rows = recorded.load()
    assert max(Counter(row.id for row in rows).values()) == 1
    assert max(Counter(row.prompt for row in rows).values()) == 1
    for row in rows:
        assert row.student_prompt_tokens == row.teacher_prompt_tokens > 0, row.id
        assert 0 < row.student_tokens <= 160, row.id
        # At least the end token, and no token is shorter than a byte.
        assert 1 < row.teacher_tokens <= len(row.teacher.encode()) + 1, row.id


def test_the_set_has_easy_and_hard_categories() -> None:
    rows = recorded.load()
    right = sum(row.student_score for row in rows) / len(rows)
    assert 0.5 <= right <= 0.75
    by_category = {name: [r.student_score for r in rows if r.category == name] for name in {r.category for r in rows}}
    assert len(by_category) >= 12
    shares = [sum(scores) / len(scores) for scores in by_category.values()]
    assert min(shares) == 0.0
    assert max(shares) >= 0.9


def test_the_generator_gives_the_recorded_prompts() -> None:
    made = [(row, p.category, p.prompt, p.checker, p.reference, p.teacher) for row, p in prompts()]
    shipped = [(r.id, r.category, r.prompt, r.checker, r.reference, r.teacher) for r in recorded.load()]
    assert made == shipped


def test_the_readme_has_the_table_of_the_recorded_set() -> None:
    readme = recorded.files().joinpath("README.md").read_text(encoding="utf-8")
    assert summary(recorded.load()) in readme


def test_the_main_readme_has_the_number_of_requests_in_the_demo() -> None:
    page = Path(__file__).parents[4].joinpath("README.md").read_text(encoding="utf-8")
    assert f"plays {len(recorded.load_desk()):,} held-out requests" in page
