"""Records the support desk's set: serves the distilled student on a real vLLM and asks it every held-out request.

`python -m breakeven.models.examples.record_desk OUT.jsonl.gz --student OUT/model --vllm-python PYTHON`, where OUT/model
is the student that `models.examples.run_support` has trained. A run that was interrupted goes on where it was: what was
recorded lies in OUT.jsonl.gz.partial until all is there.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import msgspec

from breakeven.models.errors import DistillError
from breakeven.models.examples.held_out import COUNT, HeldOut, held_out
from breakeven.models.examples.processes import free_port
from breakeven.models.examples.support import SYSTEM, is_common, reference_of
from breakeven.models.recorded import Recorded
from breakeven.models.recorded.make import Recorder
from breakeven.models.recorded.prompts.base import Prompt
from breakeven.models.serving.vllm_server import Student, StudentError, command, environment
from breakeven.router.files import write_atomically

_NAME = "support"
# As `run_support` asks the student.
_MAX_TOKENS = 64
_CONCURRENCY = 8


class _Header(msgspec.Struct, frozen=True):
    """The first line of a partial recording: what was recorded of which student."""

    student: str


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; prints the share of right answers and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m breakeven.models.examples.record_desk", description=__doc__)
    parser.add_argument("out", type=Path, help="file to write, a gzip of JSON lines")
    parser.add_argument("--student", type=Path, required=True, help="directory of the distilled student")
    parser.add_argument("--vllm-python", default=sys.executable, help="Python interpreter with vLLM")
    parser.add_argument("--cases", type=int, default=COUNT, help="record only the first ones")
    options = parser.parse_args(arguments)
    try:
        # vLLM runs in a folder of its own.
        student = options.student.resolve()
        rows = record(options.out, student, options.vllm_python, held_out(options.cases))
    except (DistillError, StudentError, OSError, httpx2.HTTPError) as error:
        print(f"record_desk: {error}", file=sys.stderr)
        return 2
    print(summary(rows))
    return 0


def record(out: Path, student: Path, python: str, wanted: Sequence[HeldOut]) -> list[Recorded]:
    """Record what is missing in the partial recording beside `out`, write `out` and return all rows in order.

    `student`: its directory; `python`: an interpreter with vLLM. Raises DistillError for a partial recording of another
    student, StudentError where it cannot be served, httpx2.HTTPError and OSError.
    """
    partial = out.with_name(f"{out.name}.partial")
    known = {row.id: row for row in _begun(partial, fingerprint(student))}
    missing = [one for one in wanted if one.id not in known or known[one.id].prompt != one.case.prompt]
    if missing:
        port = free_port()
        argv = command(student, name=_NAME, port=port, cpu=True, max_model_len=512, python=python)
        with Student(argv, environment(cpu=True), host="127.0.0.1", port=port) as server, partial.open("ab") as file:
            for row in _recorded(server.base_url.removesuffix("/v1"), missing):
                file.write(msgspec.json.encode(row) + b"\n")
                file.flush()
                known[row.id] = row
    rows = [known[one.id] for one in wanted]
    lines = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    write_atomically(out, gzip.compress(lines, mtime=0))
    partial.unlink()
    return rows


def prompt_of(one: HeldOut) -> Prompt:
    """A held-out request as a prompt to record; the program of the support desk is the teacher."""
    case = one.case
    return Prompt(case.kind, case.prompt, case.checker, reference_of(case), case.answer)


def summary(rows: Sequence[Recorded]) -> str:
    """A Markdown table of the requests and the share of the student's right answers, by class and wording."""
    scores: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        name = "common" if is_common(row.category) else "unusual"
        scores[f"{name}, {row.wording}"].append(row.student_score)
        scores[f"{name}, all"].append(row.student_score)
    lines = ["| requests | number | student right |", "| --- | --- | --- |"]
    for name, values in [*sorted(scores.items()), ("all", [row.student_score for row in rows])]:
        lines.append(f"| {name} | {len(values)} | {sum(values) / len(values):.0%} |")
    return "\n".join(lines)


def _recorded(url: str, wanted: Sequence[HeldOut]) -> Iterator[Recorded]:
    """Each row as soon as it and those before it are recorded."""
    with (
        httpx2.Client(base_url=url, timeout=300.0) as client,
        ThreadPoolExecutor(_CONCURRENCY) as pool,
    ):
        recorder = Recorder(client, _NAME, _MAX_TOKENS, system=SYSTEM, logprobs=True)
        rows = pool.map(lambda one: recorder.record((one.id, prompt_of(one))), wanted)
        for number, (one, row) in enumerate(zip(wanted, rows, strict=True), 1):
            yield msgspec.structs.replace(row, wording=one.wording)
            if number % 100 == 0:
                print(f"{number} of {len(wanted)} recorded", file=sys.stderr)


def _begun(partial: Path, student: str) -> list[Recorded]:
    """What an earlier run has recorded of this student; a new partial recording is begun where there is none."""
    header = msgspec.json.encode(_Header(student)) + b"\n"
    if not partial.exists():
        partial.write_bytes(header)
        return []
    whole = partial.read_bytes()
    whole = whole[: whole.rfind(b"\n") + 1]  # the last line may have been cut off
    if not whole.startswith(header):
        raise DistillError(f"{partial}: was recorded from another student; move it away to begin anew")
    partial.write_bytes(whole)
    decoder = msgspec.json.Decoder(Recorded)
    return [decoder.decode(line) for line in whole[len(header) :].splitlines()]


def fingerprint(student: Path) -> str:
    """A hash of the student's weights. Raises DistillError for a directory without."""
    files = sorted(student.glob("*.safetensors"))
    if not files:
        raise DistillError(f"{student}: has no *.safetensors; give the directory of a trained student")
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as data:
            digest.update(hashlib.file_digest(data, "sha256").digest())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    raise SystemExit(main())
