"""What the router reads of a text: hashed n-grams and a few measures of its shape.

Words and pairs of words, and runs of RUN bytes of UTF-8, each hashed into one of 2**BITS places of their kind. Only
which n-grams occur counts, not how often. All of it is arithmetic on whole numbers, so that a text has the same
features on every platform.
"""

from __future__ import annotations

import functools
import math
import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BITS = 18
# Words and pairs have the lower half of the places, runs the upper.
HALF = 1 << BITS
PLACES = 2 * HALF
# Places are as good as random: those below are the words and one run in two.
SAMPLED = HALF + HALF // 2
# A change of anything below changes what the weights mean: artifacts name the version they were trained for.
VERSION = 3
# One length of runs: those of 3 and 4 bytes say nothing that these do not, and cost three times the time.
RUN = 5
# The shape measures are whole multiples of 1 / UNIT: logarithms differ in the last bit between C libraries.
UNIT = 1 << 16

# Quotation marks, dashes, ideographic and full-width punctuation, white space: no part of the word beside them.
_PUNCTUATION = re.compile("\\s|([\u00a1-\u00bf\u2010-\u205e\u3000-\u303f\uff01-\uff0f\uff1a-\uff20])")
_DIGITS, _UPPER = b"0123456789", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SYMBOLS = bytes(byte for byte in range(128) if not chr(byte).isalnum() and not chr(byte).isspace())
_LOWER = bytes(32 if chr(byte).isspace() else ord(chr(byte).lower()) for byte in range(128))
_LOWER += bytes(range(128, 256))
# Spaces for all but digits.
_NUMBERS = bytes(byte if byte in _DIGITS else 32 for byte in range(256))
_W = np.uint64
# A multiplication spreads the bits of a hash, of which the upper BITS are kept.
_PRIME, _SHIFT = _W(0x9E3779B97F4A7C15), _W(64 - BITS)
_BASE, _PAIR = 0x100000001B3, _W(0xC2B2AE3D27D4EB4F)
_OTHERS = _W(8 * (8 - RUN))
_BOUNDS = np.array([HALF, SAMPLED])

Places = NDArray[np.int64]
Hashes = NDArray[np.uint64]

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
    "distinct n-grams",
    "plain ASCII",
    "commas",
    "full stops",
    "long words",
    "share of long words",
)


class Features(NamedTuple):
    """The distinct places, ascending: `words` of them of words and pairs, then those of the runs, of which the
    lower half lies before `sample`; and the SHAPE measures in 1 / UNIT.
    """

    places: Places
    words: int
    sample: int
    shape: NDArray[np.int64]


def extract(text: str) -> Features:
    """Features of one text. Never raises."""
    plain = normalise(text)
    cuts, kept = _cuts(plain)
    words = _word_hashes(plain, cuts, kept)
    hashes = np.concatenate([words, _runs(plain)])
    hashes *= _PRIME
    hashes >>= _SHIFT
    places = hashes.view(np.int64)
    places[len(words) :] += HALF
    places.sort()
    keep = np.empty(len(places), dtype=bool)
    keep[:1] = True
    np.not_equal(places[1:], places[:-1], out=keep[1:])
    places = places[keep]
    distinct, sample = places.searchsorted(_BOUNDS).tolist()
    lengths = (cuts[1:] - cuts[:-1])[kept]
    return Features(places, distinct, sample, _shape(text, lengths, distinct))


def normalise(text: str) -> bytes:
    """The text as n-grams are taken from it, UTF-8: lower case, one space wherever there is white space."""
    if not text.isascii():
        text = _PUNCTUATION.sub(r" \1 ", text).lower()
    plain = text.encode("utf-8", "surrogatepass").translate(_LOWER)
    while b"  " in plain:
        plain = plain.replace(b"  ", b" ")
    return plain.strip(b" ")


def word_spans(plain: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end of each word, and of each single symbol, of a normalised text."""
    cuts, kept = _cuts(plain)
    return cuts[:-1][kept], cuts[1:][kept]


def _cuts(plain: bytes) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where words, symbols and spaces begin and the last one ends, and which of them are no space."""
    data = np.frombuffer(plain, dtype=np.uint8)
    letters = _IN_WORD.take(data)
    edges = np.ones(len(data) + 1, dtype=bool)
    inner = edges[1:-1]
    np.logical_and(letters[1:], letters[:-1], out=inner)
    np.logical_not(inner, out=inner)
    cuts = edges.nonzero()[0]
    return cuts, data.take(cuts[:-1]) != _SPACE


def _word_hashes(plain: bytes, cuts: NDArray[np.int64], kept: NDArray[np.bool_]) -> Hashes:
    """A hash of each of the n words, then of each of the n - 1 pairs of neighbours."""
    # The polynomial hash of every word at once, modulo 2**64: higher powers stand for earlier letters.
    powers, inverses = _powers(1 << len(plain).bit_length())
    terms = np.frombuffer(plain, dtype=np.uint8) * inverses[: len(plain)]
    every = np.add.reduceat(terms, cuts[:-1])
    every *= powers.take(cuts[1:])
    singles = every[kept]
    hashes = np.empty(max(0, 2 * len(singles) - 1), dtype=_W)
    hashes[: len(singles)] = singles
    pairs = hashes[len(singles) :]
    np.multiply(singles[:-1], _PAIR, out=pairs)
    pairs += singles[1:]
    return hashes


def _runs(plain: bytes) -> Hashes:
    """The run of RUN bytes that starts at each offset of the text between two spaces."""
    data = b" %b    " % plain
    # Eight bytes are one number, in a view that advances by one byte; the shift leaves RUN of them.
    return np.ndarray((max(0, len(data) - 7),), "<u8", data, strides=(1,)) << _OTHERS


def word_places(plain: bytes) -> Places:
    """The place of each of n words, then of each of the n - 1 pairs of neighbours."""
    return (_word_hashes(plain, *_cuts(plain)) * _PRIME >> _SHIFT).view(np.int64)


def run_places(plain: bytes) -> Places:
    """The place of the run of RUN bytes that starts at each offset of the text between two spaces."""
    return (_runs(plain) * _PRIME >> _SHIFT).view(np.int64) + HALF


@functools.lru_cache(maxsize=32)
def _powers(count: int) -> tuple[Hashes, Hashes]:
    """Powers of a prime and of its inverse, modulo 2**64."""
    tables = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        factors = np.full(count, base, dtype=_W)
        factors[0] = 1
        tables.append(np.multiply.accumulate(factors))
    return tables[0], tables[1]


def _shape(text: str, lengths: NDArray[np.int64], distinct: int) -> NDArray[np.int64]:
    """The SHAPE measures, each of the order of one, from the lengths of words in bytes and how many n-grams differ."""
    length = len(text)
    per = 5.0 / max(1, length)
    count = max(1, len(lengths))
    long_words = int(np.count_nonzero(lengths > _LONG))
    data = text.encode("utf-8", "replace")
    log = math.log1p
    measures = (
        log(length),
        log(count),
        length / count / 10,
        _how_many(data, _DIGITS) * per,
        _how_many(data, _UPPER) * per,
        _how_many(data, _SYMBOLS) * per,
        log(data.count(b"\n")),
        log(data.count(b"?")),
        log(len(data.translate(_NUMBERS).split())),
        log(int(np.maximum.reduce(lengths, initial=0))),
        float(b"$" in data or b"\\" in data),
        float(b"_" in data),
        distinct / (2 * count),
        float(len(data) == length),
        log(data.count(b",")),
        log(data.count(b".")),
        log(long_words),
        long_words / count,
    )
    return (np.array(measures) * UNIT).astype(np.int64)


def _how_many(data: bytes, which: bytes) -> int:
    return len(data) - len(data.translate(None, which))


_LONG = 8
_SPACE = 32
_IN_WORD = np.array([byte > 127 or chr(byte).isalnum() or byte == 95 for byte in range(256)])
