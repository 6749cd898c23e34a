"""`python -m tests.bench.pictures`: draw the pictures of the documentation anew.

They are those of the dashboards and of README.md, and the console's pages at three widths, light and dark. What is
given is passed on to `tests.bench.dashboards`.

CI draws all of them as well, dashboards from one played day, and keeps them with the run, as the artifact `pictures`.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.processes import ROOT

_CONSOLE = ("-m", "pytest", "-q", "tests/integration/test_console_looks.py", "-k", "test_pictures")


def main() -> None:
    """Draw; ends with the exit code of what fails first."""
    drawing = {**os.environ, "BREAKEVEN_DRAW": str(ROOT / "docs/images")}
    for command in (("-m", "tests.bench.dashboards", *sys.argv[1:]), _CONSOLE):
        code = subprocess.run([sys.executable, *command], cwd=ROOT, env=drawing, check=False).returncode
        if code:
            raise SystemExit(code)


if __name__ == "__main__":
    main()
