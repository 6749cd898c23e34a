"""`breakeven distill generate --best-of`: a row with a checker is asked again until an answer is right."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.unit.models.support.generating import facts, rows, run
from tests.unit.models.support.teacher import serve


def sums(folder: Path) -> Path:
    path = folder / "prompts.jsonl"
    made: list[dict[str, Any]] = [
        {"prompt": f"{n} + 1?", "checker": "number", "reference": str(n + 1)} for n in (1, 2, 3)
    ]
    made.append({"prompt": "Say hello."})
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


class Guessing:
    """A teacher that is right about 1 at once, about 2 at the third answer, and never about 3."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, body: dict[str, Any]) -> str:
        prompt = body["messages"][-1]["content"]
        self.asked[prompt] += 1
        right = {"1 + 1?": 1, "2 + 1?": 3}.get(prompt, 99)
        return str(int(prompt[0]) + 1) if self.asked[prompt] >= right and prompt[0].isdigit() else "It is 77."


def test_a_wrong_answer_is_asked_for_again_until_one_is_right(tmp_path: Path) -> None:
    guessing, out = Guessing(), tmp_path / "data"
    with serve(guessing) as teacher:
        done = run(teacher, sums(tmp_path), out, "--best-of", "4", "--eval-share", "0")
        assert done.returncode == 0, done.stderr
        assert guessing.asked == {"1 + 1?": 1, "2 + 1?": 3, "3 + 1?": 4, "Say hello.": 1}
        kept = {row["messages"][0]["content"]: row["messages"][-1]["content"] for row in rows(out / "train.jsonl")}
        assert kept == {"1 + 1?": "2", "2 + 1?": "3", "Say hello.": "It is 77."}
        (rejected,) = rows(out / "rejected.jsonl")
        assert (rejected["reason"], rejected["messages"][0]["content"]) == ("wrong", "3 + 1?")
        assert facts(out)["best_of"] == {"answers": 4, "right_at_once": 1, "right_later": 1, "never_right": 1}
        assert "1 right at once, 1 at a later one of up to 4, 1 never, which are left out" in done.stdout
        # All nine are paid for, and are not paid for again.
        assert facts(out)["cost"]["replies"] == 9
        assert run(teacher, sums(tmp_path), out, "--best-of", "4", "--eval-share", "0").returncode == 0
        assert sum(guessing.asked.values()) == 9
        # More answers are asked for only where none was right.
        assert run(teacher, sums(tmp_path), out, "--best-of", "6", "--eval-share", "0").returncode == 0
        assert guessing.asked["3 + 1?"] == 6
        assert sum(guessing.asked.values()) == 11


@pytest.mark.parametrize(
    ("row", "options", "said"),
    [
        ({"prompt": "Hi"}, (), "--best-of 2: no row has checker and reference"),
        ({"prompt": "Hi", "checker": "exact", "reference": "x"}, ("--temperature", "0"), "with --temperature 0 all"),
        ({"id": "r7", "prompt": "Hi", "checker": "exakt", "reference": "x"}, (), "row r7: unknown checker 'exakt'"),
        ({"id": "r8", "prompt": "Hi", "checker": "number", "reference": "two"}, (), "row r8: "),
    ],
)
def test_what_cannot_be_checked_is_refused_before_anything_is_paid(
    tmp_path: Path, row: dict[str, Any], options: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(json.dumps(row) + "\n")
    with serve(lambda _: "x") as teacher:
        done = run(teacher, file, tmp_path / "data", "--best-of", "2", *options)
        assert (done.returncode, teacher.bodies) == (2, [])
    assert said in done.stderr
    assert "Traceback" not in done.stderr
