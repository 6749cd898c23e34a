"""The arrays of an artifact by name, and the shape and type that each must have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Tables = dict[str, NDArray[Any]]
# Name -> (shape, dtype); None in a shape stands for any length.
Shapes = dict[str, tuple[tuple[int | None, ...], str]]


def empty(shapes: Shapes) -> Tables:
    """Arrays of zeros with these shapes and types; a dimension of any length gets the length 0."""
    return {name: np.zeros([0 if n is None else n for n in shape], kind) for name, (shape, kind) in shapes.items()}
