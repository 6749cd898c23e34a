"""The inner loops of a decision in numpy: what they compute, and what runs where `_kernel.c` was not compiled.

All of it is arithmetic on whole numbers, whose result depends neither on the platform nor on the order of addition,
so that the compiled functions of the same names give the same to the bit.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Words and pairs have the lower half of the places, runs the upper. Places are as good as random: those below SAMPLED
# are the words and one run in two.
BITS = 18
HALF = 1 << BITS
PLACES = 2 * HALF
SAMPLED = HALF + HALF // 2
# One length of runs: those of 3 and 4 bytes say nothing that these do not, and cost three times the time.
RUN = 5
# More bytes make a long word.
LONG = 8
# The lower bits of a known place are its idf, the upper ones its row in the index.
IDF_BITS = 12
# A standard deviation of a shape measure in whole numbers, and where what is far off is cut.
STEP = 1 << 12
CLIP = 8 * STEP
# Of the latent space: its dimensions, the length of every point in it, and the weight of a vote at a cosine of one.
DIMENSIONS = 24
LENGTH = 1 << 12
ONE = 1 << 31
# How many voters stand side by side.
BLOCK = 64

_DIGITS, _UPPER = b"0123456789", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SYMBOLS = bytes(byte for byte in range(128) if not chr(byte).isalnum() and not chr(byte).isspace())
# Spaces for all but digits.
_NUMBERS = bytes(byte if byte in _DIGITS else 32 for byte in range(256))
_SPACE = 32
_IN_WORD = np.array([byte > 127 or chr(byte).isalnum() or byte == 95 for byte in range(256)])
_W = np.uint64
# A multiplication spreads the bits of a hash, of which the upper BITS are kept.
_PRIME, _SHIFT = _W(0x9E3779B97F4A7C15), _W(64 - BITS)
_BASE, _PAIR = 0x100000001B3, _W(0xC2B2AE3D27D4EB4F)
_OTHERS = _W(8 * (8 - RUN))

Places = NDArray[np.int64]
Hashes = NDArray[np.uint64]


def grams(plain: bytes) -> tuple[Places, int, int, int, int, int]:
    """The distinct places of a normalised text's n-grams, ascending; how many of them are of words and pairs, and how
    many below SAMPLED; how many words and symbols the text has, the longest one's bytes, and how many are LONG.
    """
    cuts, kept = _cuts(plain)
    words = _word_hashes(plain, cuts, kept)
    places = np.concatenate([_spread(words), _spread(_runs(plain)) + HALF])
    places.sort()
    keep = np.empty(len(places), dtype=bool)
    keep[:1] = True
    np.not_equal(places[1:], places[:-1], out=keep[1:])
    places = places[keep]
    distinct, sample = places.searchsorted([HALF, SAMPLED]).tolist()
    lengths = (cuts[1:] - cuts[:-1])[kept]
    longest = int(np.maximum.reduce(lengths, initial=0))
    return places, distinct, sample, len(lengths), longest, int(np.count_nonzero(lengths > LONG))


def measure(written: bytes) -> tuple[int, ...]:
    """How many digits, upper-case letters, symbols, numbers, line feeds, question marks, commas, full stops, signs of
    markup and underscores a text has, of ASCII.
    """
    digits, upper, symbols = (len(written) - len(written.translate(None, of)) for of in (_DIGITS, _UPPER, _SYMBOLS))
    numbers = len(written.translate(_NUMBERS).split())
    counts = [written.count(of) for of in (b"\n", b"?", b",", b".", b"$", b"\\", b"_")]
    return (digits, upper, symbols, numbers, *counts[:4], counts[4] + counts[5], counts[6])


def weigh(places: Places, words: int, table: NDArray[np.int32]) -> tuple[int, int, int, int, int, int]:
    """The sums of the three columns of a `table` (PLACES, 3) over the first `words` places, then over the others."""
    rows = table.take(places, axis=0)
    sums = [np.add.reduce(part, axis=0, dtype=np.int64).tolist() for part in (rows[:words], rows[words:])]
    return (*sums[0], *sums[1])


def vote(
    shape: NDArray[np.int64],
    measures: NDArray[np.int64],
    thresholds: NDArray[np.int64],
    leaves: NDArray[np.int64],
    values: NDArray[np.int64],
) -> tuple[int, int]:
    """The sums of both values of what the trees of a forest say of these measures; the tables are those of `forest`."""
    right = shape.take(measures) > thresholds
    left = np.bitwise_and.reduce(np.where(right, leaves, -1), axis=0)
    # A power of two as a float has its leaf as exponent, counted from one.
    leaf = np.frexp((left & -left).astype(np.float64))[1] - 1 + np.arange(len(values)) * values.shape[1]
    student, teacher = np.add.reduce(values.reshape(-1, 2).take(leaf, axis=0), axis=0).tolist()
    return student, teacher


def distance(
    shape: NDArray[np.int64], mean: NDArray[np.int64], scale: NDArray[np.float64], whiten: NDArray[np.int64]
) -> int:
    """The squared length of the measures less their mean, each times its scale and cut at CLIP, times `whiten`."""
    standard = (shape - mean) * scale
    np.minimum(standard, CLIP, out=standard)
    np.maximum(standard, -CLIP, out=standard)
    found = (whiten @ np.rint(standard).astype(np.int64)) >> 16
    return int(found @ found)


def nearest(
    places: Places, words: int, index: tuple[NDArray[Any], ...], postings: int, most: int
) -> tuple[int, int, list[tuple[int, int]]]:
    """The sum of the squared idf of these places, the sum of the idf of the first `words` of them, and of the `most`
    texts that share most with them among their rarest ones: number, and squared idf of all they share.

    `index`: of each place idf and row, of each row where its entries begin, their texts, the rows of each text, where
    those of each begin, the squared idf of each row, and of each text one over its norm times 2**46. The rarer a
    place, the lower its row; row 0 stands for all places that have none. Rows are read from the rarest on, and no
    further than `postings` entries: a long text is not more work than a short one.
    """
    known, starts, owners, held, ends, squares, inverse = index
    found = known.take(places)
    rows = (found >> IDF_BITS).astype(np.int64)
    idf = (found & ((1 << IDF_BITS) - 1)).astype(np.int64)
    norm, of_words = int(idf @ idf), int(np.add.reduce(idf[:words]))
    rows.sort()
    lengths = starts.take(rows + 1).astype(np.int64) - starts.take(rows)
    read = lengths.cumsum()
    rarest = rows[: int(read.searchsorted(postings, "right")) or 1].tolist()
    entries = np.concatenate([owners[:0], *(owners[starts[row] : starts[row + 1]] for row in rarest)])
    if not len(entries):
        return norm, of_words, []
    # Rare places weigh much the same; the comparison in full is exact. The keys are whole numbers that differ: which
    # are the largest does not depend on how they are sorted.
    keys = np.bincount(entries, minlength=len(inverse)) * inverse | np.arange(len(inverse))
    keys = np.partition(keys, max(0, len(keys) - most))[-most:]
    seen = np.zeros(len(squares), dtype=bool)
    seen[rows] = True
    near = []
    for text in (keys & 0xFFFF).tolist():
        own = held[ends[text] : ends[text + 1]]
        near.append((text, int(np.add.reduce(squares.take(own[seen.take(own)]), dtype=np.int64))))
    return norm, of_words, near


def locate(places: Places, row_of: NDArray[np.uint16], table: NDArray[np.int16]) -> bytes:
    """The sum of the rows of a `table` (n, DIMENSIONS) for these places, at a length of LENGTH, as int16; zeros where
    the sum is zero. `row_of`: of each place its row.
    """
    total = table.take(row_of.take(places), axis=0).sum(axis=0, dtype=np.int64)
    squared = int(total @ total)
    if squared == 0:
        return bytes(2 * DIMENSIONS)
    found: bytes = np.rint(total * (LENGTH / math.sqrt(squared))).astype(np.int16).tobytes()
    return found


def poll(point: bytes, points: NDArray[np.int16], opinions: NDArray[np.int32]) -> tuple[int, int, int]:
    """The sums of both heads' opinions, each times its weight / 2**16, and the sum of the weights: the 16th power of
    the cosine of `point` with each voter's, zero for a negative one, in 1 / ONE.

    `points` (n, DIMENSIONS, BLOCK) and `opinions` (n, 2, BLOCK): voters stand in blocks, so that compiled code takes
    many at once.
    """
    cosines = np.matmul(np.frombuffer(point, dtype=np.int16).astype(np.int32), points.astype(np.int32)).ravel()
    # The 16th power of a fourth rounds to nothing.
    near = (cosines > LENGTH * LENGTH // 4).nonzero()[0]
    power = np.minimum(cosines.take(near), LENGTH * LENGTH - 1).astype(np.float32) / np.float32(LENGTH * LENGTH)
    for _ in range(4):
        power *= power
    weights = (power * np.float32(ONE)).astype(np.int64)
    student, teacher = (int((weights * opinions[:, head].ravel().take(near) >> 16).sum()) for head in (0, 1))
    return student, teacher, int(weights.sum())


def word_spans(plain: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end of each word, and of each single symbol, of a normalised text."""
    cuts, kept = _cuts(plain)
    return cuts[:-1][kept], cuts[1:][kept]


def word_places(plain: bytes) -> Places:
    """The place of each of n words, then of each of the n - 1 pairs of neighbours."""
    return _spread(_word_hashes(plain, *_cuts(plain)))


def run_places(plain: bytes) -> Places:
    """The place of the run of RUN bytes that starts at each offset of the text between two spaces."""
    return _spread(_runs(plain)) + HALF


def _spread(hashes: Hashes) -> Places:
    return (hashes * _PRIME >> _SHIFT).view(np.int64)


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
    return np.concatenate([singles, singles[:-1] * _PAIR + singles[1:]])


def _runs(plain: bytes) -> Hashes:
    data = b" %b    " % plain
    # Eight bytes are one number, in a view that advances by one byte; the shift leaves RUN of them.
    return np.ndarray((max(0, len(data) - 7),), "<u8", data, strides=(1,)) << _OTHERS


@functools.lru_cache(maxsize=32)
def _powers(count: int) -> tuple[Hashes, Hashes]:
    """Powers of a prime and of its inverse, modulo 2**64."""
    tables = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        factors = np.full(count, base, dtype=_W)
        factors[0] = 1
        tables.append(np.multiply.accumulate(factors))
    return tables[0], tables[1]
