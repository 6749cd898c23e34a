"""What the comparison of methods measures of a training, and its table."""

from __future__ import annotations

import sys

import pytest

from tests.bench.methods import Refused, Run, steps_for, table, timed

# Uses some CPU time before each step's line, and none in the pauses in which it is read.
_TRAINING = """
import sys, time
for step in range(1, 5):
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    print(f"step {step} of 4: loss 0.5", file=sys.stderr, flush=True)
    time.sleep(0.4)
"""


def test_the_cpu_seconds_of_steps_are_measured_without_pauses() -> None:
    run = timed([sys.executable, "-c", _TRAINING], 4)
    assert run.steps == 4
    assert 0.7 < run.seconds < 1.3
    assert steps_for(100.0, Run(4, 0.8)) == 500
    assert steps_for(0.1, Run(4, 40.0)) == 2


def test_a_refusal_is_its_own_last_line_and_a_failure_is_raised() -> None:
    refusing = "import sys; print('a', file=sys.stderr); print('breakeven: needs a GPU', file=sys.stderr); sys.exit(2)"
    with pytest.raises(Refused, match=r"^breakeven: needs a GPU$"):
        timed([sys.executable, "-c", refusing], 4)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        timed([sys.executable, "-c", "1 / 0"], 4)


def test_the_table_has_intervals_and_refusals() -> None:
    right = {"all": [150.0, 200], "common": [140.0, 150], "unusual": [10.0, 50]}
    found = [
        {"name": "sft", "steps": 50, "seconds": 199.6, "right": right},
        {"name": "qlora", "refused": "breakeven: needs a GPU"},
    ]
    assert table(found).splitlines()[2:] == [
        "| sft | 50 | 200 | 75.0% (68.6 to 80.5) | 93% | 20% |",
        "| qlora | | | not run: needs a GPU | | |",
    ]
