"""Writing lines to standard error without ever waiting for whoever reads them."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import threading

# A reader that stalls for some seconds loses nothing.
_MOST_BYTES = 4 << 20
# How long lines are gathered for one write.
_GATHER_SECONDS = 0.01
_FLUSH_SECONDS = 1.0


class Lines:
    """Lines to a file descriptor. A file on disk is written to at once; what may block, such as a pipe or a terminal,
    by a thread: the lines that it cannot write are kept up to some megabytes, and further ones `lost`, and counted.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        try:
            self._direct = stat.S_ISREG(os.fstat(file).st_mode)
        except OSError:  # standard error is closed: every write fails at once
            self._direct = True
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._writing = False
        self._thread: threading.Thread | None = None
        self.lost = 0

    def write(self, line: bytes) -> None:
        """Write a line with its end, now or soon. Never waits, and never raises."""
        if self._direct:
            with contextlib.suppress(OSError):
                _write(self._file, line)
            return
        with self._work:
            if self._bytes + len(line) > _MOST_BYTES:
                self.lost += 1
                return
            self._bytes += len(line)
            self._waiting.append(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="breakeven-log", daemon=True)
                self._thread.start()
            elif len(self._waiting) == 1 and not self._writing:
                self._work.notify_all()

    def flush(self) -> None:
        """Wait, for a second at most, until all lines are written."""
        with self._work:
            self._work.wait_for(lambda: not (self._waiting or self._writing), _FLUSH_SECONDS)

    def _run(self) -> None:
        while True:
            with self._work:
                self._work.wait_for(lambda: self._waiting)
                # More of them in one write: the interpreter's lock changes hands less often.
                self._writing = True
                self._work.wait(_GATHER_SECONDS)
                lines, self._waiting = self._waiting, []
            with contextlib.suppress(OSError):
                _write(self._file, b"".join(lines))
            with self._work:
                self._bytes -= sum(map(len, lines))
                self._writing = False
                self._work.notify_all()


def _write(file: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(file, data) :]
        except BlockingIOError:  # somebody who shares the descriptor made it non-blocking
            select.select([], [file], [])
