"""What the router reads of a text: hashed n-grams and a few measures of its shape.

Word unigrams, word bigrams and byte n-grams of the UTF-8 text are hashed into buckets (feature hashing, Weinberger et
al., arXiv 0902.2206), 2**BITS for word n-grams and as many for byte n-grams. Only which n-grams occur counts, not how
often. All of it is arithmetic on whole numbers, so that a text has the same features on every platform.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.features import choices, kernel
from breakeven.router.features.kernel_numpy import Buckets

# A change of anything below, or in `kernel_numpy`, changes what the weights mean: an artifact names the version of the
# features that it was trained with, and loads with no other.
VERSION = 4
# Shape measures are rounded to multiples of 1 / SHAPE_UNIT: logarithms differ in the last bit between C libraries.
SHAPE_UNIT = 1 << 16

# Quotation marks, dashes, ideographic and full-width punctuation, and white space: separated from adjacent words.
_PUNCTUATION = re.compile("\\s|([\u00a1-\u00bf\u2010-\u205e\u3000-\u303f\uff01-\uff0f\uff1a-\uff20])")
_LOWER = bytes(32 if chr(byte).isspace() else ord(chr(byte).lower()) for byte in range(128))
_LOWER += bytes(range(128, 256))

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
    *choices.MEASURES,
)


class Features(NamedTuple):
    """The features of one text.

    `buckets`: the distinct buckets of its n-grams, ascending. The first `word_end` are of word unigrams and bigrams,
    the others of byte n-grams; the first `sample_end` are the subset that novelty uses. `shape` (len(SHAPE),): the
    shape measures in units of 1 / SHAPE_UNIT.
    """

    buckets: Buckets
    word_end: int
    sample_end: int
    shape: NDArray[np.int64]


def extract(text: str) -> Features:
    """The features of a text. Never raises for a string."""
    found, word_end, sample_end, tokens, longest, long_tokens = kernel.ngrams(normalise(text))
    buckets = np.frombuffer(found, dtype=np.int64)
    return Features(buckets, word_end, sample_end, _shape(text, tokens, longest, long_tokens, word_end))


def normalise(text: str) -> bytes:
    """The text from which n-grams are taken, as UTF-8: in lower case, and with each run of white space as one space."""
    if not text.isascii():
        text = _PUNCTUATION.sub(r" \1 ", text).lower()
    plain = text.encode("utf-8", "surrogatepass").translate(_LOWER)
    while b"  " in plain:
        plain = plain.replace(b"  ", b" ")
    return plain.strip(b" ")


def _shape(text: str, tokens: int, longest: int, long_tokens: int, distinct: int) -> NDArray[np.int64]:
    """The SHAPE measures, (len(SHAPE),) in units of 1 / SHAPE_UNIT.

    Computed from the text, its number of `tokens`, the bytes of the `longest`, the number of `long_tokens`, and how
    many `distinct` word n-grams it has. Each measure is of the order of one.
    """
    length = len(text)
    per = 5.0 / max(1, length)
    count = max(1, tokens)
    data = text.encode("utf-8", "replace")
    digits, upper, symbols, numbers, lines, questions, commas, stops, markup, underscores = kernel.count_characters(
        data
    )
    log = math.log1p
    measures = (
        log(length),
        log(count),
        length / count / 10,
        digits * per,
        upper * per,
        symbols * per,
        log(lines),
        log(questions),
        log(numbers),
        log(longest),
        float(markup > 0),
        float(underscores > 0),
        distinct / (2 * count),
        float(len(data) == length),
        log(commas),
        log(stops),
        log(long_tokens),
        long_tokens / count,
        *choices.measure(text),
    )
    return (np.array(measures) * SHAPE_UNIT).astype(np.int64)
