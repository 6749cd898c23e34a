"""Drawing figures as PNG files with matplotlib, an optional dependency (extra `plots`) that serving never loads."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

from breakeven.router.files import write_atomically

# Distinguishable with colour blindness and in greyscale.
GREEN, ORANGE, BLUE, RED, GREY = "#0b6e4f", "#b36b00", "#4c72b0", "#c44e52", "#777777"
MISSING = "drawing needs matplotlib: pip install 'breakeven[plots]'"


def installed() -> bool:
    """Whether matplotlib is installed, so that figures can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None


def figure(width: float = 7.0, height: float = 4.5, columns: int = 1) -> tuple[Any, list[Any]]:
    """A figure of `width` by `height` inches with `columns` axes side by side; returns the figure and its axes.

    Raises ValueError where matplotlib is not installed.
    """
    if not installed():
        raise ValueError(MISSING)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(made)
    return made, list(made.subplots(1, columns, squeeze=False)[0])


def save(made: Any, path: Path) -> None:
    """Write a matplotlib figure to `path` as PNG, replacing the file atomically. Raises OSError."""
    buffer = io.BytesIO()
    made.savefig(buffer, format="png")
    write_atomically(path, buffer.getvalue())
