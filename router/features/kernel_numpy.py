"""The inner loops of a decision in numpy: the reference for `_kernel.c`, and its replacement where that is not
compiled.

All of it is arithmetic on whole numbers, whose result depends neither on the platform nor on the order of addition,
so that the compiled functions of the same names give the same result to the bit.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Feature hashing: word unigrams and bigrams have the lower half of the buckets, byte n-grams the upper half. Bucket
# numbers are as good as random, so those below SAMPLED_BUCKETS are all word n-grams and a random half of the byte
# n-grams.
BITS = 18
WORD_BUCKETS = 1 << BITS
BUCKETS = 2 * WORD_BUCKETS
SAMPLED_BUCKETS = WORD_BUCKETS + WORD_BUCKETS // 2
# Byte n-grams of one length only: those of 3 and 4 bytes add nothing measurable, and cost three times the time.
BYTE_NGRAM = 5
# A word of more bytes counts as long.
LONG_WORD = 8
# The lower bits of an entry of the index are the idf of a bucket, the upper bits its row.
IDF_BITS = 12
# One standard deviation of a shape measure in fixed point, and where outliers are clipped.
DEVIATION = 1 << 12
CLIP = 8 * DEVIATION
# The latent space: its dimensions, the length of every point in it, and the weight of a neighbour at a cosine of one.
DIMENSIONS = 24
POINT_LENGTH = 1 << 12
WEIGHT_ONE = 1 << 31
# Neighbours are stored in blocks of this many, so that compiled code handles a block with vector instructions.
BLOCK = 64

_DIGITS, _UPPER = b"0123456789", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SYMBOLS = bytes(byte for byte in range(128) if not chr(byte).isalnum() and not chr(byte).isspace())
# Translates everything but digits to spaces.
_NUMBERS = bytes(byte if byte in _DIGITS else 32 for byte in range(256))
_SPACE = 32
_IN_WORD = np.array([byte > 127 or chr(byte).isalnum() or byte == 95 for byte in range(256)])
_U64 = np.uint64
# Multiplicative hashing: the product spreads the bits of a hash, and its upper BITS are kept.
_PRIME, _SHIFT = _U64(0x9E3779B97F4A7C15), _U64(64 - BITS)
_BASE, _PAIR = 0x100000001B3, _U64(0xC2B2AE3D27D4EB4F)
_OTHERS = _U64(8 * (8 - BYTE_NGRAM))

Buckets = NDArray[np.int64]
Hashes = NDArray[np.uint64]


def ngrams(plain: bytes) -> tuple[Buckets, int, int, int, int, int]:
    """Hash the n-grams of a normalised text (see `extract.normalise`) into buckets.

    Returns the distinct buckets in ascending order; how many of them are of word unigrams and bigrams; how many lie
    below SAMPLED_BUCKETS; the number of tokens (words and single symbols); the bytes of the longest token; and how
    many tokens are longer than LONG_WORD bytes.
    """
    bounds, kept = _token_bounds(plain)
    words = _word_hashes(plain, bounds, kept)
    buckets = np.concatenate([_to_buckets(words), _to_buckets(_byte_hashes(plain)) + WORD_BUCKETS])
    buckets.sort()
    keep = np.empty(len(buckets), dtype=bool)
    keep[:1] = True
    np.not_equal(buckets[1:], buckets[:-1], out=keep[1:])
    buckets = buckets[keep]
    distinct, sampled = buckets.searchsorted([WORD_BUCKETS, SAMPLED_BUCKETS]).tolist()
    lengths = (bounds[1:] - bounds[:-1])[kept]
    longest = int(np.maximum.reduce(lengths, initial=0))
    return buckets, distinct, sampled, len(lengths), longest, int(np.count_nonzero(lengths > LONG_WORD))


def count_characters(written: bytes) -> tuple[int, ...]:
    """Counts over the ASCII characters of a text: digits, upper-case letters, symbols, numbers (sequences of digits),
    line feeds, question marks, commas, full stops, markup signs ($ and backslash) and underscores, in this order.
    """
    digits, upper, symbols = (len(written) - len(written.translate(None, of)) for of in (_DIGITS, _UPPER, _SYMBOLS))
    numbers = len(written.translate(_NUMBERS).split())
    counts = [written.count(of) for of in (b"\n", b"?", b",", b".", b"$", b"\\", b"_")]
    return (digits, upper, symbols, numbers, *counts[:4], counts[4] + counts[5], counts[6])


def sum_weights(buckets: Buckets, word_end: int, table: NDArray[np.int32]) -> tuple[int, int, int, int, int, int]:
    """Sums of the three columns of `table` (BUCKETS, 3) over the rows of `buckets`: first over those of word n-grams
    (the first `word_end`), then over those of byte n-grams.
    """
    rows = table.take(buckets, axis=0)
    sums = [np.add.reduce(part, axis=0, dtype=np.int64).tolist() for part in (rows[:word_end], rows[word_end:])]
    return (*sums[0], *sums[1])


def forest_sums(
    shape: NDArray[np.int64],
    measures: NDArray[np.int64],
    thresholds: NDArray[np.int64],
    leaves: NDArray[np.int64],
    values: NDArray[np.int64],
) -> tuple[int, int]:
    """The sums of all trees' outputs for the student's and the teacher's head, in fixed point.

    `shape`: the shape measures of one text; the other arrays are the tables described in `model/forest.py`.
    """
    right = shape.take(measures) > thresholds
    left = np.bitwise_and.reduce(np.where(right, leaves, -1), axis=0)
    # The lowest bit alone is a power of two; frexp gives its exponent, counted from one.
    leaf = np.frexp((left & -left).astype(np.float64))[1] - 1 + np.arange(len(values)) * values.shape[1]
    student, teacher = np.add.reduce(values.reshape(-1, 2).take(leaf, axis=0), axis=0).tolist()
    return student, teacher


def mahalanobis(
    shape: NDArray[np.int64], mean: NDArray[np.int64], scale: NDArray[np.float64], whiten: NDArray[np.int64]
) -> int:
    """Squared Mahalanobis distance of `shape` (n,) from `mean` (n,), in units of DEVIATION squared.

    Each difference is multiplied by its `scale` (n,), clipped at CLIP, and the result multiplied by the whitening
    matrix `whiten` (n, n), which is in units of 1 / 2**16.
    """
    standard = (shape - mean) * scale
    np.minimum(standard, CLIP, out=standard)
    np.maximum(standard, -CLIP, out=standard)
    found = (whiten @ np.rint(standard).astype(np.int64)) >> 16
    return int(found @ found)


def nearest(
    buckets: Buckets, word_end: int, index: tuple[NDArray[Any], ...], postings: int, most: int
) -> tuple[int, int, list[tuple[int, int]]]:
    """Look up the reference texts that share most buckets with a text, among the rarest ones.

    Returns the sum of the squared idf of `buckets`; the sum of the idf of the first `word_end` of them; and for each of
    up to `most` texts its number and the squared idf of all buckets that both texts have.

    `index` holds: for each bucket its idf and row; for each row the offset of its posting list; the texts of the
    posting lists; the rows of each text; the offset of each text's rows; the squared idf of each row; and for each
    text one over its norm times 2**46. The rarer a bucket, the lower its row; row 0 stands for all buckets without a
    posting list. Rows are read from the rarest on, and at most `postings` entries: a long text costs no more than a
    short one.
    """
    known, starts, owners, held, ends, squares, inverse = index
    found = known.take(buckets)
    rows = (found >> IDF_BITS).astype(np.int64)
    idf = (found & ((1 << IDF_BITS) - 1)).astype(np.int64)
    norm, word_idf = int(idf @ idf), int(np.add.reduce(idf[:word_end]))
    rows.sort()
    lengths = starts.take(rows + 1).astype(np.int64) - starts.take(rows)
    read = lengths.cumsum()
    rarest = rows[: int(read.searchsorted(postings, "right")) or 1].tolist()
    entries = np.concatenate([owners[:0], *(owners[starts[row] : starts[row + 1]] for row in rarest)])
    if not len(entries):
        return norm, word_idf, []
    # Rare buckets have about the same idf, so their number ranks the candidates; the comparison below is exact. The
    # keys are distinct whole numbers: which are the largest does not depend on the sorting algorithm.
    keys = np.bincount(entries, minlength=len(inverse)) * inverse | np.arange(len(inverse))
    keys = np.partition(keys, max(0, len(keys) - most))[-most:]
    seen = np.zeros(len(squares), dtype=bool)
    seen[rows] = True
    near = []
    for text in (keys & 0xFFFF).tolist():
        own = held[ends[text] : ends[text + 1]]
        near.append((text, int(np.add.reduce(squares.take(own[seen.take(own)]), dtype=np.int64))))
    return norm, word_idf, near


def latent_point(buckets: Buckets, row_of: NDArray[np.uint16], table: NDArray[np.int16]) -> bytes:
    """Project a text into the latent space.

    Sums the rows of `table` (n, DIMENSIONS) that `row_of` (WORD_BUCKETS,) gives for `buckets`, and scales the sum to
    POINT_LENGTH. Returns DIMENSIONS numbers as int16 bytes; zeros where the sum is zero.
    """
    total = table.take(row_of.take(buckets), axis=0).sum(axis=0, dtype=np.int64)
    squared = int(total @ total)
    if squared == 0:
        return bytes(2 * DIMENSIONS)
    found: bytes = np.rint(total * (POINT_LENGTH / math.sqrt(squared))).astype(np.int16).tobytes()
    return found


def knn_sums(point: bytes, points: NDArray[np.int16], labels: NDArray[np.int32]) -> tuple[int, int, int]:
    """Weighted sums of the neighbours' labels for both heads, and the sum of the weights.

    A neighbour's weight is the 16th power of the cosine between its point and `point`, zero for a negative cosine, in
    units of 1 / WEIGHT_ONE; each product of weight and label is divided by 2**16. `points` (n, DIMENSIONS, BLOCK) and
    `labels` (n, 2, BLOCK) are stored in blocks.
    """
    cosines = np.matmul(np.frombuffer(point, dtype=np.int16).astype(np.int32), points.astype(np.int32)).ravel()
    # The 16th power of a cosine of a fourth rounds to zero.
    near = (cosines > POINT_LENGTH * POINT_LENGTH // 4).nonzero()[0]
    unit = POINT_LENGTH * POINT_LENGTH
    power = np.minimum(cosines.take(near), unit - 1).astype(np.float32) / np.float32(unit)
    for _ in range(4):
        power *= power
    weights = (power * np.float32(WEIGHT_ONE)).astype(np.int64)
    student, teacher = (int((weights * labels[:, head].ravel().take(near) >> 16).sum()) for head in (0, 1))
    return student, teacher, int(weights.sum())


def word_spans(plain: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Byte offsets of the start and the end of each token (word or single symbol) of a normalised text, (n,) each."""
    bounds, kept = _token_bounds(plain)
    return bounds[:-1][kept], bounds[1:][kept]


def word_buckets(plain: bytes) -> Buckets:
    """The buckets of a normalised text's n tokens in order, followed by those of its n - 1 bigrams."""
    return _to_buckets(_word_hashes(plain, *_token_bounds(plain)))


def byte_ngram_buckets(plain: bytes) -> Buckets:
    """The bucket of the byte n-gram at each offset of a normalised text with a space added at either end."""
    return _to_buckets(_byte_hashes(plain)) + WORD_BUCKETS


def _to_buckets(hashes: Hashes) -> Buckets:
    return (hashes * _PRIME >> _SHIFT).view(np.int64)


def _token_bounds(plain: bytes) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Offsets where tokens and spaces begin, with the end of the text last; and which of them are not spaces."""
    data = np.frombuffer(plain, dtype=np.uint8)
    letters = _IN_WORD.take(data)
    edges = np.ones(len(data) + 1, dtype=bool)
    inner = edges[1:-1]
    np.logical_and(letters[1:], letters[:-1], out=inner)
    np.logical_not(inner, out=inner)
    bounds = edges.nonzero()[0]
    return bounds, data.take(bounds[:-1]) != _SPACE


def _word_hashes(plain: bytes, bounds: NDArray[np.int64], kept: NDArray[np.bool_]) -> Hashes:
    """A hash of each of the n tokens, then of each of the n - 1 bigrams."""
    # The polynomial hash of every token at once, modulo 2**64: earlier letters have the higher powers.
    powers, inverses = _powers(1 << len(plain).bit_length())
    terms = np.frombuffer(plain, dtype=np.uint8) * inverses[: len(plain)]
    every = np.add.reduceat(terms, bounds[:-1])
    every *= powers.take(bounds[1:])
    singles = every[kept]
    return np.concatenate([singles, singles[:-1] * _PAIR + singles[1:]])


def _byte_hashes(plain: bytes) -> Hashes:
    data = b" %b    " % plain
    # A view of eight bytes as one number that advances by one byte; the shift leaves BYTE_NGRAM bytes of each.
    return np.ndarray((max(0, len(data) - 7),), "<u8", data, strides=(1,)) << _OTHERS


@functools.lru_cache(maxsize=32)
def _powers(count: int) -> tuple[Hashes, Hashes]:
    """The first `count` powers of a prime and of its inverse, modulo 2**64."""
    tables = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        factors = np.full(count, base, dtype=_U64)
        factors[0] = 1
        tables.append(np.multiply.accumulate(factors))
    return tables[0], tables[1]
