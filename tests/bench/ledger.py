"""Measures the time of `breakeven report` over a year of attempts.

`python -m tests.bench.ledger [--attempts 10000000]` fills a SQLite ledger with a year of single requests by SQL, with
the hourly sums that the gateway would have written, and prints the wall time of the command, start of Python included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml
from sqlalchemy import Engine, text

from breakeven.gateway.config.load import load_config
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.ledger.database import migrate, open_engine, transaction
from breakeven.gateway.ledger.rates import enter
from tests.support.processes import BREAKEVEN

_YEAR_HOURS = 8760
_CHUNK = 1_000_000
# Two endpoints, three keys, six reasons, one in seven pinned: about 40 rows of hourly sums an hour.
_REQUESTS = """
WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :last)
INSERT INTO requests (id, request_id, at, endpoint, key, stream, route, reason, pinned, score, threshold,
 novelty, artifact, outcome, status, baseline, router_seconds, overhead_seconds, seconds,
 baseline_output, baseline_input)
SELECT printf('%032x', i), 'r' || i, :start + i * :step, CASE i % 2 WHEN 0 THEN 'chat_completions' ELSE 'responses' END,
 CASE i % 3 WHEN 0 THEN 'team-a' WHEN 1 THEN 'team-b' ELSE '' END, 0,
 CASE WHEN i % 5 = 0 THEN 'teacher' ELSE 'student' END,
 CASE WHEN i % 7 = 0 THEN 'pinned' WHEN i % 5 = 0 THEN 'difficult' ELSE 'easy' END, i % 7 = 0,
 0.3, 0.5, 0.1, '0123456789ab', 'ok', 200, CASE WHEN i % 7 = 0 THEN 0 ELSE 20000000000 END, 0.0003, 0.001, 0.8,
 CASE WHEN i % 7 = 0 OR i % 5 = 0 THEN 0 ELSE 6000000000 END,
 CASE WHEN i % 7 = 0 OR i % 5 = 0 THEN 0 ELSE 14000000000 END FROM n
"""
_ATTEMPTS = """
INSERT INTO attempts (request, number, last, upstream, outcome, status, prompt_tokens, cached_tokens, output_tokens,
 usage_complete, cost_input, cost_cached_input, cost_output, first_event_seconds, seconds)
SELECT id, 1, 1, route, 'ok', 200, 1000, 200, 100, 1,
 (route = 'teacher') * 12000000000, (route = 'teacher') * 300000000, (route = 'teacher') * 6000000000, 0.1, 0.8
FROM requests WHERE rowid > :first AND rowid <= :last
"""
_HOURLY = """
INSERT INTO hourly (hour, upstream, pinned, endpoint, route, reason, key, requests, attempts, usage_missing,
 input_tokens, cached_input_tokens, output_tokens, cost_input, cost_cached_input, cost_output, baseline,
 baseline_output, baseline_input)
SELECT r.at / :hour AS h, a.upstream, r.pinned, r.endpoint, r.route, r.reason, r.key, count(*), count(*), 0,
 sum(prompt_tokens - cached_tokens), sum(cached_tokens), sum(output_tokens), sum(cost_input), sum(cost_cached_input),
 sum(cost_output), sum(r.baseline), sum(r.baseline_output), sum(r.baseline_input)
FROM requests r JOIN attempts a ON a.request = r.id WHERE r.at >= :since AND r.at < :until GROUP BY 1, 2, 3, 4, 5, 6, 7
"""


def fill(engine: Engine, attempts: int, start: int) -> None:
    """Insert a year of requests with one attempt each, from `start` on (microseconds since the epoch, a full hour)."""
    step = _YEAR_HOURS * HOUR // attempts
    for first in range(0, attempts, _CHUNK):
        last = min(attempts, first + _CHUNK)
        with transaction(engine, write=True) as connection:
            values = {"first": first, "last": last, "start": start, "step": step}
            connection.execute(text(_REQUESTS), values)
            connection.execute(text(_ATTEMPTS), {"first": first, "last": last})
    for month in range(12):
        since, until = (start + part * _YEAR_HOURS // 12 * HOUR for part in (month, month + 1))
        with transaction(engine, write=True) as connection:
            connection.execute(text(_HOURLY), {"hour": HOUR, "since": since, "until": until})


def measure(config: Path, *options: str) -> tuple[float, float, str]:
    """The wall and CPU seconds of the fastest of three runs, and the output of the last."""
    times = []
    for _ in range(3):
        began, used = time.perf_counter(), _cpu_of_children()
        command = [*BREAKEVEN, "report", "--config", str(config), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        times.append((time.perf_counter() - began, _cpu_of_children() - used))
    return *min(times), done.stdout


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=10_000_000)
    wanted = parser.parse_args(arguments)
    start = (time.time_ns() // 1000 // HOUR - _YEAR_HOURS) * HOUR
    with tempfile.TemporaryDirectory(prefix="breakeven-bench-") as name:
        config = Path(name) / "breakeven.yaml"
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start // 10**6))
        upstream = {"base_url": "http://127.0.0.1:1/v1"}
        prices = {"input": 15, "cached_input": 1.5, "output": 60}
        document = {
            "student": {**upstream, "model": "student", "hosting_usd_per_hour": 1.2},
            "teacher": {**upstream, "model": "teacher-model", "usd_per_million": prices},
            "economics": {"investment_usd": 50_000, "hosting_since": since},
        }
        config.write_text(yaml.safe_dump(document))
        settings = load_config(config)
        engine = open_engine(settings.ledger.url)
        migrate(engine)
        with transaction(engine, write=True) as connection:
            enter(connection, settings, time.time_ns() // 1000)
        began = time.perf_counter()
        fill(engine, wanted.attempts, start)
        with transaction(engine, write=False) as connection:
            rows = connection.scalar(text("SELECT count(*) FROM hourly"))
        engine.dispose()
        seconds = time.perf_counter() - began
        size = os.path.getsize(Path(name) / "breakeven.db") / 1e9
        print(f"{wanted.attempts:,} attempts, {rows:,} hourly rows, {size:.1f} GB, filled in {seconds:.0f} s")
        print(f"Python {platform.python_version()}, {os.cpu_count()} cores")
        year = time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(start // 10**6))
        for options in (("--json",), ("--json", "--since", year), ("--json", "--by", "day,route,key")):
            seconds, cpu, said = measure(config, *options)
            assert json.loads(said)["requests"] == wanted.attempts
            print(f"breakeven report {' '.join(options)}: {seconds:.2f} s, of CPU {cpu:.2f} s")


if __name__ == "__main__":
    main()
