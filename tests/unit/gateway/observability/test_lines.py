"""Lines of the log never wait for whoever reads them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from breakeven.gateway.observability.lines import Lines


def test_a_file_has_each_line_at_once(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        lines = Lines(file.fileno())
        lines.write(b"one\n")
        lines.write(b"two\n")
        assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


def test_a_pipe_that_is_read_has_all_lines_in_order() -> None:
    reading, writing = os.pipe()
    lines = Lines(writing)
    got = bytearray()

    def read() -> None:
        while data := os.read(reading, 65536):
            got.extend(data)

    thread = threading.Thread(target=read)
    thread.start()
    sent = [b"%d %b\n" % (number, b"x" * 500) for number in range(2000)]
    for line in sent:
        lines.write(line)
    while lines.lost == 0 and len(got) < sum(map(len, sent)):
        lines.flush()
    os.close(writing)
    thread.join()
    os.close(reading)
    assert lines.lost == 0
    assert bytes(got) == b"".join(sent)


def test_a_pipe_that_nobody_reads_loses_what_is_too_much_and_counts_it() -> None:
    reading, writing = os.pipe()
    lines = Lines(writing)
    line = b"x" * 9999 + b"\n"
    for _ in range(1000):
        lines.write(line)
    assert 300 < lines.lost < 1000
    lost = lines.lost
    got = 0
    while got < (1000 - lost) * len(line):
        got += len(os.read(reading, 1 << 20))
    lines.flush()
    lines.write(b"again\n")
    assert os.read(reading, 100) == b"again\n"
    assert lines.lost == lost
    os.close(writing)
    os.close(reading)


def test_a_closed_descriptor_raises_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    Lines(writing).write(b"one\n")
