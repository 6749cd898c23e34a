"""Figures as PNG files. matplotlib is optional: the extra `plots` brings it, and serving never loads it."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

from breakeven.router.files import write_atomically

# Colour-blind safe, and told apart in grey.
GREEN, ORANGE, BLUE, RED, GREY = "#0b6e4f", "#b36b00", "#4c72b0", "#c44e52", "#777777"
MISSING = "drawing needs matplotlib: pip install 'breakeven[plots]'"


def installed() -> bool:
    """Whether figures can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None


def figure(width: float = 7.0, height: float = 4.5, columns: int = 1) -> tuple[Any, list[Any]]:
    """A figure of so many inches, with axes side by side, and these axes. Raises ValueError without matplotlib."""
    if not installed():
        raise ValueError(MISSING)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(made)
    return made, list(made.subplots(1, columns, squeeze=False)[0])


def save(made: Any, path: Path) -> None:
    """Write the figure as PNG. Raises OSError."""
    buffer = io.BytesIO()
    made.savefig(buffer, format="png")
    write_atomically(path, buffer.getvalue())
