"""The arrays of an artifact by name, and what is known of each before it is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Tables = dict[str, NDArray[Any]]
# Name: shape and kind; None is any length.
Shapes = dict[str, tuple[tuple[int | None, ...], str]]


def empty(shapes: Shapes) -> Tables:
    """Arrays of zeros, without an entry where the length is free."""
    return {name: np.zeros([0 if n is None else n for n in shape], kind) for name, (shape, kind) in shapes.items()}
