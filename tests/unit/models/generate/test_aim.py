"""`breakeven distill generate --synthesize --aim`: new prompts are of the kinds that an evaluation's student lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from breakeven.models.data.prompts import Prompt, key_of
from breakeven.models.generate.aim import targets
from tests.unit.models.support.generating import facts, rows, run
from tests.unit.models.support.teacher import serve


def evaluation(folder: Path, *lost: tuple[str | None, str, float]) -> Path:
    """The folder of an evaluation: of each row the category, the prompt and the student's score; the teacher's is 1."""
    made = [
        {"id": f"e{n}", "prompt": prompt, "student_score": score, "teacher_score": 1.0}
        | ({} if category is None else {"category": category})
        for n, (category, prompt, score) in enumerate(lost)
    ]
    folder.mkdir()
    (folder / "outcomes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    return folder


def prompts(path: Path, count: int) -> Path:
    kinds = {"sum": "What is {} plus ten thousand?", "date": "Which day comes {} days after Easter?", "hello": "Hi {}!"}
    made = [{"prompt": text.format(n), "category": kind} for kind, text in kinds.items() for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


class Writer:
    """A teacher that writes ten requests each time, which name the kind of the examples that it was shown."""

    def __init__(self) -> None:
        self.shown: list[set[str]] = []

    def __call__(self, body: dict[str, Any]) -> str:
        text = body["messages"][-1]["content"]
        if not text.startswith("Here are"):
            return "an answer"
        examples = text.partition("Write 10 new requests")[0]
        kinds = {"sum": "plus", "date": "Easter", "hello": "Hi "}
        self.shown.append({kind for kind, word in kinds.items() if word in examples})
        (kind, *_) = sorted(self.shown[-1])
        letters = "abcdefghij"
        return json.dumps([f"{kind} {c * 5} number {len(self.shown)}{c} {c * 7}" for c in letters])


def test_new_prompts_are_divided_by_what_was_lost(tmp_path: Path) -> None:
    lost = evaluation(
        tmp_path / "evaluation",
        ("sum", "What is 3 plus 4?", 0.0), ("sum", "What is 4 plus 4?", 0.0), ("sum", "What is 5 plus 4?", 0.0),
        ("date", "Which day comes after Easter?", 0.0), ("hello", "Hi!", 1.0), ("odd", "?", 0.0),
    )  # fmt: skip
    writer, out = Writer(), tmp_path / "data"
    with serve(writer) as teacher:
        done = run(
            teacher, prompts(tmp_path / "prompts.jsonl", 6), out, "--synthesize", "8", "--aim", str(lost),
            "--eval-share", "0",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        # Every call shows examples of one kind, and none of a kind that was not lost.
        assert all(len(one) == 1 for one in writer.shown)
        assert {"hello"} not in writer.shown
        made = [row for row in rows(out / "train.jsonl") if row.get("synthetic")]
        assert sorted(row["messages"][0]["content"].split()[0] for row in made) == ["date"] * 2 + ["sum"] * 6
        assert len({row["id"] for row in made}) == 8
        aimed = {one["kind"]: one for one in facts(out)["synthesis"]["aimed"]}
        assert (aimed["sum"]["wanted"], aimed["sum"]["seeds"], aimed["date"]["written"]) == (6, 6, 2)
        # There is nothing to write more of.
        assert (aimed["odd"]["wanted"], aimed["odd"]["seeds"]) == (0, 0)
        assert "aimed at sum, 60% of what was lost: 6 seeds, 6 of 6 synthetic" in done.stdout
        before = len(teacher.bodies)
        again = run(
            teacher, tmp_path / "prompts.jsonl", out, "--synthesize", "8", "--aim", str(lost), "--eval-share", "0"
        )
        assert (again.returncode, len(teacher.bodies)) == (0, before)


def test_without_categories_kinds_are_clusters_of_words(tmp_path: Path) -> None:
    texts = [f"refund order {n}" for n in range(20)] + [f"password reset account {n}" for n in range(20)]
    lost = evaluation(tmp_path / "evaluation", *((None, text, float("refund" not in text)) for text in texts))
    seeds = [
        Prompt(text, key_of([{"role": "user", "content": text}]), [{"role": "user", "content": text}], {})
        for text in ("my order wants a refund", "reset my password", "please refund this order")
    ]
    found = [one for one in targets(lost, seeds, 5) if one.wanted]
    assert sum(one.wanted for one in found) == 5
    assert all(seed.id != "reset my password" for one in found for seed in one.seeds)
    assert {seed.id for one in found for seed in one.seeds} <= {"my order wants a refund", "please refund this order"}


def test_what_gives_no_aim_is_refused_before_anything_is_paid(tmp_path: Path) -> None:
    file = prompts(tmp_path / "prompts.jsonl", 2)
    nothing = evaluation(tmp_path / "nothing", ("sum", "1 + 1", 1.0))
    other = evaluation(tmp_path / "other", ("poems", "Write a poem.", 0.0))
    with serve(lambda _: "x") as teacher:
        for options, said in (
            (("--aim", str(nothing)), "--aim says what new prompts are about: give their number with --synthesize"),
            (("--synthesize", "3", "--aim", str(nothing)), "the student lost nothing there"),
            (("--synthesize", "3", "--aim", str(other)), "lost most on poems, and no training prompt is of these"),
            (("--synthesize", "3", "--aim", str(tmp_path / "absent")), "give a folder of `breakeven distill evaluate`"),
        ):
            done = run(teacher, file, tmp_path / "data", *options)
            assert done.returncode == 2, done.stdout
            assert said in done.stderr
            assert "Traceback" not in done.stderr
        assert teacher.bodies == []
