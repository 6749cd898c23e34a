"""What the difficulty classifier reads of a text: hashed n-grams and a few measures of its shape.

Words and pairs of words, and runs of 3 to 5 bytes of UTF-8, each hashed into one of 2**BITS places. Only
which n-grams occur counts, not how often. All of it is vectorised integer arithmetic, so that a text has
the same features on every platform.
"""

from __future__ import annotations

import functools
import math
import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BITS = 18
PLACES = 1 << BITS
# A change of anything below changes what the weights mean: artifacts name the version they were trained for.
VERSION = 2

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
# Quotation marks, dashes, ideographic and full-width punctuation: no part of the word beside them.
_PUNCTUATION = re.compile("([\u00a1-\u00bf\u2010-\u205e\u3000-\u303f\uff01-\uff0f\uff1a-\uff20])")
_U = np.uint32
_SHIFT = _U(32 - BITS)
_PRIME = 0x01000193
# Set apart what is hashed: words, and runs of each length, from everything else.
_WORDS, _RUNS = _U(77), {3: _U(0xDAA66D2B), 4: _U(0x78DDE6C4), 5: _U(0x1715609D)}

Places = NDArray[np.uint32]

SHAPE = (
    "length",
    "words",
    "word length",
    "digits",
    "upper case",
    "symbols",
    "lines",
    "question marks",
    "numbers",
    "longest word",
    "markup",
    "underscores",
    "distinct words",
    "plain ASCII",
    "commas",
    "full stops",
    "long words",
    "share of long words",
)


class Features(NamedTuple):
    """Distinct places of the words and pairs, distinct places of the byte runs, and the SHAPE measures."""

    words: Places
    runs: Places
    shape: list[float]


def extract(text: str) -> Features:
    """Features of one text. Never raises."""
    plain = normalise(text)
    return Features(
        _distinct(np.concatenate(word_places(plain))),
        _distinct(np.concatenate([places for _, places in run_places(plain)] or [_NOTHING])),
        _shape(text),
    )


def normalise(text: str) -> bytes:
    """The text as n-grams are taken from it, UTF-8: lower case, one space wherever there is white space."""
    if not text.isascii():
        text = _PUNCTUATION.sub(r" \1 ", text)
    return " ".join(text.lower().split()).encode("utf-8", "surrogatepass")


def word_spans(plain: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end of each word, and of each single symbol, of a normalised text."""
    kinds = _WORD_KIND[np.frombuffer(plain, dtype=np.uint8)]
    inner = (kinds[1:] == _LETTER) & (kinds[:-1] == _LETTER)
    edge = np.ones(min(1, len(kinds)), dtype=bool)
    seen = kinds != _SPACE
    starts = np.flatnonzero(seen & np.concatenate([edge, ~inner]))
    ends = np.flatnonzero(seen & np.concatenate([~inner, edge])) + 1
    return starts, ends


def word_places(plain: bytes) -> tuple[Places, Places]:
    """The place of each word of a normalised text, and of each pair of neighbours."""
    starts, ends = word_spans(plain)
    powers, inverses = _powers(1 << len(plain).bit_length())
    # Differences of one running sum: the polynomial hash of every word at once, modulo 2**32.
    sums = np.zeros(len(plain) + 1, dtype=np.uint32)
    data = np.frombuffer(plain, dtype=np.uint8) + _U(1)
    np.cumsum(data * inverses[: len(plain)], out=sums[1:], dtype=np.uint32)
    hashes = (sums[ends] - sums[starts]) * powers[ends]
    pairs = hashes[:-1] * _U(0x85EBCA6B) + hashes[1:]
    return _place(hashes + _WORDS), _place(pairs)


def run_places(plain: bytes) -> list[tuple[int, Places]]:
    """(n, the place of the run of n bytes that starts at each offset) of the text between two spaces."""
    data = np.frombuffer(b" %b " % plain, dtype=np.uint8).astype(np.uint32)
    found = []
    hashes = data
    for n in range(2, max(_RUNS) + 1):
        if len(data) < n:
            break
        hashes = hashes[:-1] * _U(_PRIME) + data[n - 1 :]
        if n in _RUNS:
            found.append((n, _place(hashes ^ _RUNS[n])))
    return found


@functools.lru_cache(maxsize=32)
def _powers(count: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Powers of the prime and of its inverse, modulo 2**32."""
    tables = []
    for base in (_PRIME, pow(_PRIME, -1, 1 << 32)):
        factors = np.full(count, base, dtype=np.uint32)
        factors[0] = 1
        tables.append(np.multiply.accumulate(factors, dtype=np.uint32))
    return tables[0], tables[1]


def _place(hashes: NDArray[np.uint32]) -> Places:
    """Mix the bits well (the finaliser of the "lowbias32" family) and keep the upper BITS."""
    mixed = hashes.copy()
    mixed ^= mixed >> _U(15)
    mixed *= _U(0x2C1B3C6D)
    mixed ^= mixed >> _U(12)
    mixed *= _U(0x297A2D39)
    mixed ^= mixed >> _U(15)
    return mixed >> _SHIFT


def _distinct(places: Places) -> Places:
    places.sort()
    if len(places) < 2:
        return places
    keep = np.empty(len(places), dtype=bool)
    keep[0] = True
    np.not_equal(places[1:], places[:-1], out=keep[1:])
    return places[keep]


def _shape(text: str) -> list[float]:
    """The SHAPE measures, each of the order of one."""
    length = len(text)
    per = 5.0 / max(1, length)
    words = text.split()
    count = max(1, len(words))
    lengths = list(map(len, words))
    long_words = sum(map(_is_long, lengths))
    bytes_ = np.bincount(np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8), minlength=256)
    seen = bytes_.tolist()
    return [
        math.log1p(length),
        math.log1p(count),
        length / count / 10,
        sum(seen[48:58]) * per,
        sum(seen[65:91]) * per,
        int(bytes_ @ _SYMBOL) * per,
        math.log1p(seen[10]),
        math.log1p(seen[63]),
        math.log1p(len(_NUMBER.findall(text))),
        math.log1p(max(lengths, default=0)),
        float(bool(seen[36] or seen[92])),
        float(bool(seen[95])),
        len(set(words)) / count,
        float(text.isascii()),
        math.log1p(seen[44]),
        math.log1p(seen[46]),
        math.log1p(long_words),
        long_words / count,
    ]


_is_long = (8).__lt__
_SPACE, _LETTER, _OTHER = 0, 1, 2
_NOTHING = np.zeros(0, dtype=np.uint32)


def _word_kinds() -> NDArray[np.uint8]:
    """Of each byte of a normalised text: space, part of a word (all beyond ASCII are), or a symbol alone."""
    kinds = np.full(256, _OTHER, dtype=np.uint8)
    kinds[32] = _SPACE
    kinds[128:] = _LETTER
    for byte in b"0123456789_abcdefghijklmnopqrstuvwxyz":
        kinds[byte] = _LETTER
    return kinds


def _symbols() -> NDArray[np.int64]:
    """1 for each byte that is a symbol of ASCII."""
    symbols = [not chr(byte).isalnum() and not chr(byte).isspace() for byte in range(128)]
    return np.array([*symbols, *[False] * 128], dtype=np.int64)


_WORD_KIND = _word_kinds()
_SYMBOL = _symbols()
