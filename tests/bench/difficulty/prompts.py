"""The prompts with a stated difficulty that the shipped router is trained on.

`prompts/*.txt` are written by hand, one file a voice ("author"), one prompt a line with `\\n` for a line feed. A line
`@ LEVEL KIND` gives the level and the kind of the prompts below it: 0 greetings and commands, 1 questions that a FAQ or
one fact answers, 2 explanations, small snippets and drafts, 3 changes of code, debugging and reasoning in several
steps, 4 proofs, systems design and research. `materials.txt` holds texts to paste, `tasks.txt` what can be asked about
them, `wrappers.txt` what people write before and after a request.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
LEVELS = 5
# Authors that are never trained on: one to choose among designs, one for the figures that are reported.
DEV, TEST = ("dev_kim",), ("tester_jo",)
_VARIANTS = 2
# Tasks on each pasted text, by level.
_COMPOSED = (0, 8, 4, 3, 3)
_SEED = 20261127


class Prompt(NamedTuple):
    """One prompt: who wrote it, its `level` from 0 (greeting) to 4 (proof), its kind, and the text."""

    author: str
    level: int
    kind: str
    text: str


def written() -> list[Prompt]:
    """The prompts as they were written, in the order of the files' names."""
    found: list[Prompt] = []
    for path in sorted((FOLDER / "prompts").glob("*.txt")):
        for heading, line in _lines(path):
            level, kind = heading.split(" ", 1)
            found.append(Prompt(path.stem, int(level), kind, line))
    return found


def of_authors(authors: tuple[str, ...]) -> list[Prompt]:
    """The prompts of these authors as they were written, and the variants of them that `expanded` makes."""
    return [prompt for prompt in (*written(), *_variants(written())) if prompt.author in authors]


def training() -> list[Prompt]:
    """The prompts of all authors but those of DEV and TEST, with variants, and the tasks on pasted texts.

    Always the same ones in the same order.
    """
    own = [prompt for prompt in written() if prompt.author not in (*DEV, *TEST)]
    return [*own, *_variants(own), *_small_talk(own), *_composed()]


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a file, each with the heading above it."""
    heading = ""
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.startswith("@ "):
            heading = line[2:]
        elif line:
            yield heading, line.replace("\\n", "\n").replace("\\t", "\t")


def _random(*parts: object) -> random.Random:
    """A generator of its own for each text, so that one more line in a file changes nothing else."""
    digest = hashlib.sha256("\0".join(map(str, (_SEED, *parts))).encode()).digest()
    return random.Random(digest)


def _variants(prompts: list[Prompt]) -> Iterator[Prompt]:
    """The prompts with something said before or after them, in lower case, with slips of the keyboard."""
    wrap = {
        where: [line for of, line in _lines(FOLDER / "wrappers.txt") if of == where] for where in ("before", "after")
    }
    for prompt in prompts:
        for number in range(_VARIANTS):
            rng = _random(prompt.author, prompt.text, number)
            text = prompt.text
            where = rng.choice(("before", "after", "both", "neither"))
            if where in ("before", "both"):
                text = rng.choice(wrap["before"]) + text
            if where in ("after", "both"):
                text += rng.choice(wrap["after"])
            if rng.random() < 0.3:
                text = text.lower()
            if rng.random() < 0.2:
                text = text.rstrip("?.! ")
            if rng.random() < 0.15:
                text = _mistyped(text, rng)
            if text != prompt.text:
                yield prompt._replace(text=text)


def _mistyped(text: str, rng: random.Random) -> str:
    letters = list(text)
    for _ in range(1 + len(letters) // 60):
        at = rng.randrange(max(1, len(letters) - 1))
        if letters[at : at + 2] and all(letter.isalpha() for letter in letters[at : at + 2]):
            letters[at : at + 2] = reversed(letters[at : at + 2])
    return "".join(letters)


def _small_talk(prompts: list[Prompt]) -> Iterator[Prompt]:
    """Several easy sentences of one author in one message: long, and still easy."""
    by_author: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        if prompt.level <= 1:
            by_author.setdefault(prompt.author, []).append(prompt)
    for author, own in by_author.items():
        for number in range(len(own) // 4):
            rng = _random("small talk", author, number)
            some = rng.sample(own, min(len(own), rng.randint(2, 5)))
            text = rng.choice((" ", "\n", "\n\n", " ")).join(prompt.text for prompt in some)
            yield Prompt(author, max(prompt.level for prompt in some), "several things", text)


def _composed() -> Iterator[Prompt]:
    """Tasks on pasted texts: the same paste with an easy and with a hard request."""
    materials = list(_lines(FOLDER / "materials.txt"))
    by_level: dict[int, list[tuple[str, str]]] = {}
    for heading, task in _lines(FOLDER / "tasks.txt"):
        level, of = heading.split(" ", 1)
        by_level.setdefault(int(level), []).append((of, task))
    for of, material in materials:
        for level, tasks in by_level.items():
            rng = _random("composed", material, level)
            fitting = [task for kind, task in tasks if kind in (of, "any")]
            for task in rng.sample(fitting, min(len(fitting), _COMPOSED[level])):
                paste = material
                # The easy requests get the longer pastes.
                for _ in range(rng.choice((0, 0, 1) if level > 2 else (0, 0, 1, 2, 4))):
                    paste += "\n\n" + rng.choice([text for kind, text in materials if kind == of])
                if of in ("code", "log", "table") and rng.random() < 0.5:
                    paste = f"```\n{paste}\n```"
                parts = [task, paste] if rng.random() < 0.5 else [paste, task]
                yield Prompt(f"composed {of}", level, "pasted text", rng.choice(("\n", "\n\n")).join(parts))
