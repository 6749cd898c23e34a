"""Counting the values of a JSON text without decoding it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_Bytes = npt.NDArray[np.uint8]

_PIECE_BYTES = 1 << 20
_QUOTE, _BACKSLASH, _DIVIDERS = ord('"'), ord("\\"), (ord(","), ord("{"), ord("["))


def has_more_values(text: bytes, most: int) -> bool:
    """Whether the arrays and objects of a JSON text have more than about `most` members together.

    What is inside of strings does not count. Takes some nanoseconds for each byte, however the text is made, so that it
    is known of a text that it takes long to decode before it is decoded.
    """
    # Each value needs a byte, and another one that divides it from the next.
    if len(text) < 2 * most or sum(np.count_nonzero(_divides(piece)) for piece in _pieces(text)) <= most:
        return False
    count, inside, backslashes = 0, 0, 0
    for piece in _pieces(text):
        quotes = np.flatnonzero(piece == _QUOTE)
        # A quote behind an odd number of backslashes is escaped.
        places = np.arange(len(piece))
        last = np.maximum.accumulate(np.where(piece == _BACKSLASH, -1 - backslashes, places))
        run = quotes - 1 - np.where(quotes > 0, last[quotes - 1], -1 - backslashes)
        begins = np.zeros(len(piece), dtype=np.uint8)
        begins[quotes[run % 2 == 0]] = 1
        strings = (np.cumsum(begins, dtype=np.uint32) + inside) & 1
        count += int(np.count_nonzero(_divides(piece) & (strings == 0)))
        if count > most:
            return True
        inside = int(strings[-1])
        backslashes = int(len(piece) - 1 - last[-1])
    return False


def _pieces(text: bytes) -> list[_Bytes]:
    whole = np.frombuffer(text, dtype=np.uint8)
    return [whole[at : at + _PIECE_BYTES] for at in range(0, len(whole), _PIECE_BYTES)]


def _divides(piece: _Bytes) -> Any:
    """A boolean for each byte: whether it begins or divides members, were it outside of strings."""
    comma, brace, bracket = _DIVIDERS
    return (piece == comma) | (piece == brace) | (piece == bracket)
