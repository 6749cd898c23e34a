"""What `breakeven check` and `breakeven serve` say of each bad config file: `python -m tests.attack.agreement FOLDER`.

Each command runs in a process that is forked from this one, which has imported the product and serves nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from tests.attack.bad_files import AT_START, FILES
from tests.support.processes import CHECKOUT

_SECONDS = 60.0
GOOD = {
    "server": {"port": 0},
    "student": {"base_url": "http://127.0.0.1:9/v1", "model": "small"},
    "teacher": {"base_url": "http://127.0.0.1:9/v1", "model": "big", "usd_per_million": {"input": 1, "output": 2}},
    "ledger": {"url": "sqlite:///ledger.db"},
    "road": {"sample": 0},
}


class Said(NamedTuple):
    """The exit code of a command, None where it did not end, and its standard error."""

    code: int | None
    text: str


def ask_both(folder: Path) -> dict[str, tuple[Said, Said]]:
    """What `check` and `serve` say of each bad file, by its name, in one process of its own."""
    environment = {**os.environ, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "tests.attack.agreement", str(folder)]
    root = Path(__file__).parents[2]
    done = subprocess.run(line, cwd=root, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    found = json.loads(done.stdout)
    return {name: (Said(*check), Said(*serve)) for name, (check, serve) in found.items()}


def _command(name: str, folder: Path) -> Said:
    output = folder / f".{name}.txt"
    output.touch()
    pid = os.fork()
    if pid == 0:
        _run(name, folder, output)
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return Said(os.waitstatus_to_exitcode(status), output.read_text(errors="replace"))
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return Said(None, output.read_text(errors="replace"))


def _run(name: str, folder: Path, output: Path) -> None:
    """The command in this process, which ends with it."""
    from breakeven.gateway.cli.main import main as command

    os.chdir(folder)
    sys.path.insert(0, str(folder))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(output, os.O_WRONLY), 2)
    sys.argv = ["breakeven", name, "--config", "breakeven.yaml"]
    code = 99
    try:
        command()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def main(arguments: list[str]) -> int:
    """Print as JSON what both commands said of each file."""
    import breakeven.gateway.cli.main
    import breakeven.gateway.server.app
    import breakeven.gateway.server.startup
    import breakeven.gateway.server.workers  # noqa: F401

    found = {}
    for number, (name, make) in enumerate({**FILES, **AT_START}.items()):
        folder = Path(arguments[0], str(number))
        folder.mkdir(parents=True)
        make(folder / "breakeven.yaml", GOOD)
        found[name] = [_command(command, folder) for command in ("check", "serve")]
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
