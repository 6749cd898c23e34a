"""What the router reads of a text: hashed n-grams and a few measures of its shape.

Words and pairs of words, and runs of RUN bytes of UTF-8, each hashed into one of 2**BITS places of their kind. Only
which n-grams occur counts, not how often. All of it is arithmetic on whole numbers, so that a text has the same
features on every platform.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.features import choices, kernel
from breakeven.router.features.kernel_numpy import Places

# A change of anything below, or in `vectors`, changes what the weights mean: artifacts name the version they were
# trained for.
VERSION = 4
# The shape measures are whole multiples of 1 / UNIT: logarithms differ in the last bit between C libraries.
UNIT = 1 << 16

# Quotation marks, dashes, ideographic and full-width punctuation, white space: no part of the word beside them.
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
    """The distinct places, ascending: `words` of them of words and pairs, then those of the runs, of which the
    lower half lies before `sample`; and the SHAPE measures in 1 / UNIT.
    """

    places: Places
    words: int
    sample: int
    shape: NDArray[np.int64]


def extract(text: str) -> Features:
    """Features of one text. Never raises."""
    found, distinct, sample, words, longest, many = kernel.grams(normalise(text))
    places = np.frombuffer(found, dtype=np.int64)
    return Features(places, distinct, sample, _shape(text, words, longest, many, distinct))


def normalise(text: str) -> bytes:
    """The text as n-grams are taken from it, UTF-8: lower case, one space wherever there is white space."""
    if not text.isascii():
        text = _PUNCTUATION.sub(r" \1 ", text).lower()
    plain = text.encode("utf-8", "surrogatepass").translate(_LOWER)
    while b"  " in plain:
        plain = plain.replace(b"  ", b" ")
    return plain.strip(b" ")


def _shape(text: str, words: int, longest: int, many: int, distinct: int) -> NDArray[np.int64]:
    """The SHAPE measures, each of the order of one, from how many words the text has, the length of the longest in
    bytes, how many are long, and how many n-grams differ.
    """
    length = len(text)
    per = 5.0 / max(1, length)
    count = max(1, words)
    data = text.encode("utf-8", "replace")
    digits, upper, symbols, numbers, lines, questions, commas, stops, markup, underscores = kernel.measure(data)
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
        log(many),
        many / count,
        *choices.measure(text),
    )
    return (np.array(measures) * UNIT).astype(np.int64)
