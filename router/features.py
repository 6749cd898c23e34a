"""What the difficulty classifier reads of a text: hashed n-grams and a few measures of its shape.

Words and pairs of words, and runs of 3 to 5 bytes of UTF-8, each hashed into one of 2**BITS places. Only
which n-grams occur counts, not how often. All of it is vectorised integer arithmetic, so that a text has
the same features on every platform.
"""

from __future__ import annotations

import math
import re
import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BITS = 18
PLACES = 1 << BITS
# A change of anything below changes what the weights mean: artifacts name the version they were trained for.
VERSION = 1

_WORD = re.compile(r"\w+|[^\w\s]")
_SPACES = re.compile(r"\s+")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_U = np.uint32
_SHIFT = _U(32 - BITS)
_PRIME = _U(0x01000193)
_NGRAM_BYTES = (3, 4, 5)

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
    words, pairs = word_places(split_words(plain))
    runs = run_places(plain)
    return Features(_distinct([words, pairs]), _distinct([places for _, places in runs]), _shape(text))


def word_places(words: list[str]) -> tuple[Places, Places]:
    """The place of each word, and of each pair of neighbours."""
    hashes = np.array([zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words], dtype=np.uint32)
    pairs = hashes[:-1] * _U(0x85EBCA6B) + hashes[1:]
    return _place(hashes + _U(77)), _place(pairs)


def run_places(plain: str) -> list[tuple[int, Places]]:
    """(n, the place of the run of n bytes that starts at each offset) of the text between two spaces."""
    data = np.frombuffer(f" {plain} ".encode("utf-8", "surrogatepass"), dtype=np.uint8).astype(np.uint32)
    found = []
    for n in _NGRAM_BYTES:
        count = len(data) - n + 1
        if count < 1:
            break
        hashes = np.full(count, (n * 0x9E3779B1) & 0xFFFFFFFF, dtype=np.uint32)
        for offset in range(n):
            hashes *= _PRIME
            hashes += data[offset : offset + count]
        found.append((n, _place(hashes)))
    return found


def normalise(text: str) -> str:
    """The text as n-grams are taken from it: lower case, one space wherever there is white space."""
    return _SPACES.sub(" ", text.lower())


def split_words(plain: str) -> list[str]:
    """Words and single symbols of a normalised text."""
    return _WORD.findall(plain)


def _place(hashes: NDArray[np.uint32]) -> Places:
    """Mix the bits well (the finaliser of the "lowbias32" family) and keep the upper BITS."""
    mixed = hashes.copy()
    mixed ^= mixed >> _U(15)
    mixed *= _U(0x2C1B3C6D)
    mixed ^= mixed >> _U(12)
    mixed *= _U(0x297A2D39)
    mixed ^= mixed >> _U(15)
    return mixed >> _SHIFT


def _distinct(parts: list[Places]) -> Places:
    if not parts:
        return np.zeros(0, dtype=np.uint32)
    places = np.concatenate(parts)
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
    lengths = [len(word) for word in words]
    long_words = sum(size > 8 for size in lengths)
    data = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)
    kinds = np.bincount(_KIND[data], minlength=5)
    return [
        math.log1p(length),
        math.log1p(count),
        length / count / 10,
        int(kinds[1]) * per,
        int(kinds[2]) * per,
        int(kinds[3]) * per,
        math.log1p(text.count("\n")),
        math.log1p(text.count("?")),
        math.log1p(len(_NUMBER.findall(text))),
        math.log1p(max(lengths, default=0)),
        float("$" in text or "\\" in text),
        float("_" in text),
        len(set(words)) / count,
        float(text.isascii()),
        math.log1p(text.count(",")),
        math.log1p(text.count(".")),
        math.log1p(long_words),
        long_words / count,
    ]


def _kinds() -> NDArray[np.int64]:
    """Of each byte: 1 digit, 2 upper case, 3 symbol, 4 part of a character beyond ASCII, 0 anything else."""
    kinds = np.zeros(256, dtype=np.int64)
    for byte in range(256):
        character = chr(byte)
        if byte >= 128:
            kinds[byte] = 4
        elif character.isdigit():
            kinds[byte] = 1
        elif character.isupper():
            kinds[byte] = 2
        elif not character.isalnum() and not character.isspace():
            kinds[byte] = 3
    return kinds


_KIND = _kinds()
