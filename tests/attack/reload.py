"""Attacks by config files: on a running gateway, on `check` and `serve`, and mutated ones on the reader."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import yaml

from breakeven.gateway.config.load import load_config
from breakeven.gateway.errors import ConfigError
from tests.attack.agreement import GOOD, ask_both
from tests.attack.bad_files import AT_START, FILES, clear
from tests.attack.result import Result, Setting
from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, running
from tests.support.processes import CHECKOUT

_SECONDS = 60
# What a mutated file may put in the place of a piece of itself.
_PIECES = (
    "", "!!", "&a ", "*a", "<<: ", "? ", "- ", ": ", "{", "[", "}", "]", "|\n", ">\n", "'", '"', "#", "%", "---\n",
    "\t", "\0", "\x85", "\ufeff", "\u2028", "9" * 30, "1e999", ".nan", "-.inf", "0x", "0o9", "1:59", "2024-02-30",
    "null", "~", "true", "!!int ", "!!timestamp ", "!!binary ", "!!set {a}", "!!python/name:os.system ", "${HOME}",
    "${A:-", "$${",
)  # fmt: skip


def _survives(gateway: Gateway, kind: str) -> bool:
    """Whether a bad file is refused, said and counted while traffic goes on, and the next good one read."""

    def count() -> float:
        return gateway.metric("config_reloads_total", outcome="refused")

    (route,) = _routes(gateway)
    before, at = count(), gateway.log.stat().st_size
    FILES[kind](gateway.path, gateway.config)
    gateway.signal(signal.SIGHUP)
    try:
        eventually(lambda: count() > before, _SECONDS)
        said = b"config reload rejected" in gateway.log.read_bytes()[at:]
        shown = gateway.metric("config_last_reload_successful") == 0
        served = _routes(gateway) == {route}
        other, threshold = ("teacher", 0.0) if route == "student" else ("student", 1.0)
        clear(gateway.path)
        gateway.write_config({"routing": {"threshold": threshold}})
        gateway.signal(signal.SIGHUP)
        eventually(lambda: _routes(gateway) == {other}, _SECONDS)
    except (AssertionError, OSError, EOFError):
        return False
    return said and shown and served


def _routes(gateway: Gateway) -> set[str]:
    """Where requests go, by whichever worker answers them."""
    return {gateway.post(chat()).headers["x-breakeven-route"] for _ in range(10)}


def _reloads(setting: Setting, workers: int, name: str) -> Result:
    """As many bad files as there is time for, the first ones first."""
    changes = {} if workers == 1 else {"server": {"workers": workers}}
    environment = {"PYTHONPATH": f"{CHECKOUT}:{setting.folder}"}
    failed, tried, end = [], 0, time.monotonic() + setting.seconds
    with running(setting.folder, changes, environment=environment) as gateway:
        for kind in FILES:
            if time.monotonic() >= end:
                break
            tried += 1
            if not _survives(gateway, kind):
                failed.append(kind)
                break
    figures = {"survived": f"{tried - len(failed)} of {tried}", "known": str(len(FILES))}
    return Result(name, not failed and tried > 0, {**figures, **({"failed": failed[0]} if failed else {})})


def on_one_worker(setting: Setting) -> Result:
    """Bad files on a running gateway."""
    return _reloads(setting, 1, "reload-bad-files")


def on_two_workers(setting: Setting) -> Result:
    """Bad files on a gateway of two worker processes."""
    return _reloads(setting, 2, "reload-bad-files-two-workers")


def agreement(setting: Setting) -> Result:
    """`check` and `serve` refuse the same files in the same words, without a traceback and without a password."""
    found = ask_both(setting.folder)
    wrong = [
        kind
        for kind, (check, serve) in found.items()
        if (check.code, serve.code) != (2, 2) or check.text != serve.text or "canary" in check.text
    ]
    figures = {"agreed": f"{len(found) - len(wrong)} of {len(FILES) + len(AT_START)}"}
    return Result("check-agrees-with-serve", not wrong, {**figures, **({"not": wrong[0]} if wrong else {})})


def mutate(text: str, rng: random.Random) -> bytes:
    """The text with some of its pieces replaced, moved, repeated or made other bytes."""
    data = text
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(data) + 1)
        to = min(len(data), at + rng.choice((0, 1, 3, 20)))
        kind = rng.randrange(4)
        piece = rng.choice(_PIECES) if kind else data[at:to] * rng.choice((2, 50))
        data = data[:at] + piece + data[to:]
    raw = data.encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        at = rng.randrange(len(raw) + 1)
        raw = raw[:at] + rng.randbytes(4) + raw[at:]
    return raw


def fuzz_reader(folder: Path, seconds: float, seed: int) -> dict[str, int]:
    """How many mutated configs were read and how many of them refused. Raises what is no ConfigError, with the file's
    content as a note.
    """
    rng, path = random.Random(seed), folder / "breakeven.yaml"
    texts = (yaml.safe_dump(GOOD), yaml.safe_dump(GOOD, default_flow_style=True))
    counts = {"read": 0, "refused": 0}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        content = mutate(rng.choice(texts), rng)
        path.write_bytes(content)
        counts["read"] += 1
        try:
            load_config(path)
        except ConfigError as error:
            counts["refused"] += 1
            if not error.faults or not all(fault.isprintable() and len(fault) < 500 for fault in error.faults):
                raise ValueError(f"not a line: {error.faults!r:.300}") from None
        except BaseException as error:
            error.add_note(f"seed {seed}, file {content!r}")
            raise
    return counts


def fuzzed(setting: Setting) -> Result:
    """Mutated configs through the reader: each is read or refused in lines."""
    seed = time.time_ns() % 1_000_000
    counts = fuzz_reader(setting.folder, setting.seconds, seed)
    return Result("config-fuzz", True, {**{name: f"{n:,}" for name, n in counts.items()}, "seed": str(seed)})


ATTACKS = {
    "reload-bad-files": on_one_worker,
    "reload-bad-files-two-workers": on_two_workers,
    "check-agrees-with-serve": agreement,
    "config-fuzz": fuzzed,
}
