"""What vLLM does while it starts, in few words from its log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

# What a line of vLLM's log says about the progress; the first that matches counts.
_STAGES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"checkpoint shards:.*?(\d+)/(\d+)"), "weights: {0} of {1} files"),
    (re.compile(r"Fetching \d+ files:.*?(\d+)/(\d+)"), "download: {0} of {1} files"),
    (re.compile(r"Resolved architecture: (\w+)"), "model: {0}"),
    (re.compile(r"Using max model len (\d+)"), "context window: {0} tokens"),
    (re.compile(r"Starting to load model"), "loading the weights"),
    (re.compile(r"Loading weights took ([\d.]+)"), "weights loaded in {0} s"),
    (re.compile(r"(?:Compiling|Dynamo bytecode transform|torch\.compile takes)"), "compiling"),
    (re.compile(r"KV cache size: ([\d,]+) tokens"), "KV cache: {0} tokens"),
    (re.compile(r"Capturing CUDA graphs"), "capturing CUDA graphs"),
    (re.compile(r"Application startup complete"), "started"),
)
_SILENT_SECONDS = 15.0


class Progress:
    """Prints with `say` each new stage of a start, and a sign of life after 15 seconds without one.

    A line of the log itself is never printed: it may hold keys.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._start = self._said = clock()
        self._last = "starting"
        self.ended = False

    def line(self, text: str) -> None:
        """Take a line of the log."""
        if self.ended:
            return
        for pattern, words in _STAGES:
            if found := pattern.search(text):
                stage = words.format(*found.groups())
                if stage != self._last:
                    self._last = stage
                    self._print(stage)
                return

    def tick(self) -> None:
        """Print a sign of life if nothing was printed for a while."""
        if self._clock() - self._said >= _SILENT_SECONDS:
            self._print(f"still at: {self._last}")

    def _print(self, text: str) -> None:
        self._said = self._clock()
        self._say(f"  {self._said - self._start:4.0f} s  {text}")
