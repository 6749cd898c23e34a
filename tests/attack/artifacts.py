"""Attacks by router artifacts: bad ones by name, and mutations through a kernel that is built with sanitizers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from breakeven.router.model.artifact import ArtifactError, load
from tests.attack.bad_artifacts import NAMES, write_bad
from tests.attack.result import Result, Setting
from tests.attack.small_artifact import small_artifact

_ROOT = Path(__file__).parents[2]
_SOURCE = _ROOT / "router" / "features" / "_kernel.c"
WARNINGS = ("-Wall", "-Wextra", "-Werror")
_SANITIZERS = ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# A first load of the libraries under a sanitizer, on a machine with other work.
_MARGIN_SECONDS = 120


class NoSanitizer(Exception):
    """There is no C compiler with the address sanitizer; the message says what is missing."""


def build(folder: Path, *flags: str) -> Path:
    """Compile the kernel with these flags, without one warning. Raises CalledProcessError, and NoSanitizer where there
    is no compiler.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NoSanitizer("there is no C compiler; install gcc")
    include = sysconfig.get_paths()["include"]
    if not Path(include, "Python.h").exists():
        raise NoSanitizer("Python.h is missing; install the headers of this Python")
    built = folder / "_kernel.so"
    line = [compiler, *WARNINGS, *flags, "-ffp-contract=off", "-shared", "-fPIC", f"-I{include}", str(_SOURCE)]
    subprocess.run([*line, "-o", str(built), "-lm"], check=True, capture_output=True, text=True, timeout=120)
    return built


def sanitizer_runtime() -> str:
    """The library that must be loaded before Python. Raises NoSanitizer."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NoSanitizer("there is no C compiler; install gcc")
    asked = [compiler, "-print-file-name=libasan.so"]
    found = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    if not Path(found).is_absolute():
        raise NoSanitizer("the C compiler has no address sanitizer; install libasan, which comes with gcc")
    return found


def fuzz(folder: Path, seconds: float, seed: int) -> tuple[dict[str, int], str]:
    """What `kernel_fuzz` counted, and what the sanitizers said, "" where nothing was wrong. Raises NoSanitizer."""
    runtime = sanitizer_runtime()
    built = build(folder, *_SANITIZERS)
    environment = {
        **os.environ,
        "LD_PRELOAD": runtime,
        # Python leaks at its end; a table that is declared too large must fail, and not end the process.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    line = [sys.executable, "-m", "tests.attack.kernel_fuzz", str(built), str(seconds), str(seed)]
    limit = seconds + _MARGIN_SECONDS
    done = subprocess.run(line, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=limit, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout), ""
    said = re.search(r"(ERROR: \w+Sanitizer: .*|.*runtime error: .*)", done.stderr)
    return {}, said[0] if said else done.stderr[-2000:] or f"exit code {done.returncode}"


def mutated_through_sanitizers(setting: Setting) -> Result:
    """Mutated tables, texts and artifacts through the kernel under the address and undefined-behaviour sanitizers."""
    name = "artifact-kernel-sanitizers"
    seed = time.time_ns() % 1_000_000
    try:
        counts, said = fuzz(setting.folder, setting.seconds, seed)
    except NoSanitizer as error:
        return Result(name, False, {"not run": str(error)})
    figures = {name: f"{count:,}" for name, count in counts.items()}
    return Result(name, not said, {**figures, "seed": str(seed), **({"fault": said[:200]} if said else {})})


def crafted(setting: Setting) -> Result:
    """Bad artifacts by name, each of which must be refused."""
    arrays, metadata = small_artifact()
    loaded = []
    for name in NAMES:
        folder = setting.folder / "artifact"
        write_bad(folder, name, arrays, metadata)
        try:
            load(folder)
            loaded.append(name)
        except ArtifactError:
            pass
    figures = {"refused": f"{len(NAMES) - len(loaded)} of {len(NAMES)}"}
    return Result("artifact-crafted", not loaded, {**figures, **({"loaded": "; ".join(loaded)} if loaded else {})})


ATTACKS = {"artifact-crafted": crafted, "artifact-kernel-sanitizers": mutated_through_sanitizers}
