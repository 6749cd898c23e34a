"""The inner loops of a decision: compiled where a C compiler was there at installation, else those in numpy.

Both give the same whole numbers to the bit; in numpy a decision takes several times as long.
"""

from __future__ import annotations

from importlib import import_module

try:
    _chosen = import_module("breakeven.router.features._kernel")
except ImportError:
    _chosen = import_module("breakeven.router.features.kernel_numpy")

COMPILED = _chosen.__name__ == "breakeven.router.features._kernel"

grams, measure, weigh = _chosen.grams, _chosen.measure, _chosen.weigh
vote, distance, nearest = _chosen.vote, _chosen.distance, _chosen.nearest
locate, poll = _chosen.locate, _chosen.poll
