"""Recording the support desk's set with a real vLLM: an interrupted run goes on where it was."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from breakeven.models import recorded
from breakeven.models.examples import record_desk
from breakeven.models.examples.held_out import held_out
from tests.support import real
from tests.support.processes import CHECKOUT

_SECONDS = 400


@pytest.mark.timeout(_SECONDS + 60)
def test_answers_are_recorded_with_their_tokens_and_what_is_there_is_kept(tmp_path: Path) -> None:
    student, out = real.smollm2(), tmp_path / "desk.jsonl.gz"
    # A run that was ended in its second answer; the first one is not what the model says.
    wanted = held_out(4)
    prompt = record_desk.prompt_of(wanted[0])
    kept = recorded.Recorded(
        id=wanted[0].id,
        category=prompt.category,
        prompt=prompt.prompt,
        checker=prompt.checker,
        reference=prompt.reference,
        student="recorded before",
        student_score=0.0,
        student_prompt_tokens=20,
        student_tokens=1,
        teacher=prompt.teacher,
        teacher_score=1.0,
        teacher_prompt_tokens=20,
        teacher_tokens=7,
    )
    header = msgspec.json.encode({"student": record_desk.fingerprint(student)})
    (tmp_path / "desk.jsonl.gz.partial").write_bytes(header + b"\n" + msgspec.json.encode(kept) + b'\n{"id": "de')
    line = [sys.executable, "-m", "breakeven.models.examples.record_desk", str(out), "--student", str(student)]
    line += ["--vllm-python", str(real.vllm_python()), "--cases", "4"]
    env = {**os.environ, "PYTHONPATH": CHECKOUT}
    done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    rows = recorded.parse(gzip.decompress(out.read_bytes()))
    assert [row.id for row in rows] == [one.id for one in wanted]
    assert rows[0] == kept
    for row in rows[1:]:
        assert 0 < len(row.tokens) == len(row.logprobs) == row.student_tokens <= 64
        assert all(value <= 0.0 for value in row.logprobs)
        assert "".join(row.tokens).startswith(row.student)
        assert row.teacher_tokens > 1
    assert "| all | 4 |" in done.stdout
