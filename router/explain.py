"""Why a prompt looks hard or easy, in words.

Each phrase has a detector, a pattern or a measure of the text, and is said only where the classifier agrees: where what
it found moved the score the way that the phrase says. So the words never contradict the score. The numbers behind them
are `Difficulty.explain`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from breakeven.router.features.extract import extract
from breakeven.router.model.difficulty import Contribution, Difficulty

_LONG, _SHORT = 600, 60
_MOST_WORDS, _LEAST_LETTERS = 3, 4
_EVERY = 1_000_000
# Measures of the shape that a phrase on length or layout rests on.
_LENGTH = ("length", "words", "lines", "distinct n-grams", "shape measures combined")


class Sign(NamedTuple):
    """A phrase, whether it speaks for a hard prompt, and the pattern that finds it."""

    phrase: str
    harder: bool
    pattern: re.Pattern[str]


def _sign(phrase: str, pattern: str, *, harder: bool = True) -> Sign:
    return Sign(phrase, harder, re.compile(pattern, re.IGNORECASE))


SIGNS = (
    _sign(
        "asks for a proof",
        r"\b(prove|proofs?|show that|derive|deduce|beweis\w*|zeige, dass|démontre\w*|prouve\w*|demuestr\w*|dimostr\w*|"
        r"докаж\w*|докажите)\b|证明|証明",
    ),
    _sign(
        "asks for a design",
        r"\b(design|architect(?:ure)?|entwirf|conçois|concevoir|diseña\w*|progetta\w*|спроектируй\w*)\b|设计|設計",
    ),
    _sign(
        "asks for the cause of a fault",
        r"\b(debug\w*|root cause|race condition|deadlock\w*|stack ?trace|traceback|segfault\w*|use-after-free|"
        r"memory leak|panics?|corrupt\w*)\b",
    ),
    _sign(
        "asks for code",
        r"\b(write|implement|refactor|code|program|schreibe)\b[^.?!]{0,60}\b(function|script|program|class|query|regex|"
        r"algorithm|api|parser|test|module|in (?:python|rust|java|javascript|typescript|go|c\+\+|sql))\b|\bimplement\b|"
        r"\brefactor\b",
    ),
    _sign("has code in it", r"```|\bdef \w+\(|\bfunction \w+\(|#include|\bSELECT\b.+\bFROM\b|[{;]\s*\n"),
    _sign("asks for a comparison", r"\b(compare|contrast|trade-?offs?|versus|pros and cons)\b"),
    _sign("asks for reasoning step by step", r"\b(step[- ]by[- ]step|analy[sz]e|justify|explain why|reason about)\b"),
    _sign(
        "has formulas", r"\$[^$\n]+\$|\\(frac|sum|int|sqrt|mathbb)\b|[∑∫√≤≥∀∃∈]|\b[a-z]\^\w|\b[a-z]\s*=\s*\w+\s*[-+*/^]"
    ),
    _sign(
        "a greeting or thanks",
        r"^\W*(hi|hiya|hello|hey|thanks|thank you|thx|good (?:morning|evening|night)|bye|hallo|danke|"
        r"guten (?:tag|morgen)|hola|gracias|salut|bonjour|merci|ciao|grazie|olá|obrigad[oa]|привет|спасибо|"
        r"你好|谢谢|こんにちは|ありがとう|やあ|どうも)(?![\w-])[^?]{0,60}$",
        harder=False,
    ),
    _sign(
        "a short, plain question",
        r"^\W*(what|who|when|where|which|whose|how (?:much|many|old|long|far|tall|late|can|do|does)|is|are|do|does|can|"
        r"wo|wann|wer|was|"
        r"où|quand|qui|quel\w*|cuándo|dónde|quién|cuál|dove|quando|chi)\b[^\n?]{0,60}\?\W*$",
        harder=False,
    ),
)
_SCRIPTS = re.compile("[\u0370-\u1fff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def reasons(difficulty: Difficulty, text: str, *, hard: bool) -> list[str]:
    """Phrases that say why a text looks `hard`, or else easy, the strongest first; empty where none is known."""
    every = difficulty.explain(text, _EVERY)
    direction = 1.0 if hard else -1.0
    found = [
        (push, sign.phrase) for sign in SIGNS if sign.harder == hard and (push := _push(sign, text, every)) is not None
    ]
    for phrase, harder, applies, names in (
        ("long", True, len(text) >= _LONG, _LENGTH),
        ("short", False, len(text) <= _SHORT, _LENGTH),
        ("several questions in one", True, _questions(text) >= 3, ("question marks", "numbers", "lines")),
    ):
        if applies and harder == hard:
            found.append((sum(one.push for one in every if one.feature in names), phrase))
    # What moved the score the other way does not explain it.
    agreeing = sorted(((push * direction, phrase) for push, phrase in found if push * direction > 0.0), reverse=True)
    said = [phrase for _, phrase in agreeing]
    words = _words(every, direction)
    if words and len(said) < 2:
        said.append(f"has words of {'hard' if hard else 'everyday'} prompts ({', '.join(words)})")
    if len(_SCRIPTS.findall(text)) * 3 > len(text):
        said.append("not in Latin script")
    return said


def _push(sign: Sign, text: str, every: Sequence[Contribution]) -> float | None:
    """How the words and letters that a sign's pattern finds moved the score; None where it finds nothing."""
    match = sign.pattern.search(text)
    if match is None:
        return None
    piece = " ".join(match[0].lower().split())
    push = 0.0
    for one in every:
        kind, _, shown = one.feature.partition(" ")
        if kind in ("word", "words", "letters") and shown[1:-1].strip() and shown[1:-1].strip() in piece:
            push += one.push
    # A pattern over signs, such as formulas, may have no words that the classifier knows.
    return push if push else sum(one.push for one in every)


def _questions(text: str) -> int:
    return max(len(re.findall(r"[?？]", text)), len(re.findall(r"^\s*(?:\d+[.)]|[-*])\s", text, re.MULTILINE)))


def _words(every: Sequence[Contribution], direction: float) -> list[str]:
    """The words that moved the score most in this direction, quoted."""
    found = [one.feature[6:-1] for one in every if one.feature.startswith("word '") and one.push * direction > 0.0]
    return [f'"{word}"' for word in found if len(word) >= _LEAST_LETTERS][:_MOST_WORDS]


def alike(text: str, others: Sequence[str], *, least: float = 0.3, most: int = 20) -> list[int]:
    """The indices of the at most `most` other texts that are most like a text, the nearest first: those with a cosine
    of at least `least` between the word n-grams that the router reads, weighted by how rare they are among the others.
    """
    words = [_word_buckets(one) for one in others]
    own = _word_buckets(text)
    if not words or not len(own):
        return []
    buckets, counts = np.unique(np.concatenate(words), return_counts=True)
    # Not squared, as in TF-IDF: numbers and names, which are rare, would outweigh what the prompts are about.
    idf = 1.0 + np.log((1.0 + len(words)) / (1.0 + counts))

    def weights(found: np.ndarray) -> np.ndarray:
        at = np.minimum(np.searchsorted(buckets, found), len(buckets) - 1)
        weighed: np.ndarray = np.where(buckets[at] == found, idf[at], 1.0)
        return weighed

    length = float(weights(own).sum())
    cosines = np.zeros(len(words))
    for index, other in enumerate(words):
        norm = length * float(weights(other).sum())
        if norm > 0.0:
            cosines[index] = float(weights(np.intersect1d(own, other, assume_unique=True)).sum()) / norm**0.5
    order = np.argsort(-cosines, kind="stable")[:most]
    return [int(index) for index in order if cosines[index] >= least]


def _word_buckets(text: str) -> np.ndarray:
    features = extract(text)
    return features.buckets[: features.word_end]
