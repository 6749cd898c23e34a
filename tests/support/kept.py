"""Pictures that a run of the tests leaves for people to look at."""

from __future__ import annotations

import os
from pathlib import Path


def kept(temporary: Path) -> Path:
    """The folder for pictures: that of the environment variable BREAKEVEN_PICTURES, as CI sets it, else the temporary
    one of the test.
    """
    folder = Path(os.environ.get("BREAKEVEN_PICTURES") or temporary)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
