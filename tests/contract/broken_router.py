"""The real gateway with a classifier that fails when it is told to: what `breakeven serve` can't be made to do."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from breakeven.gateway.config.load import load_config
from breakeven.gateway.observability import log
from breakeven.gateway.server import run
from breakeven.gateway.server.app import create_app
from breakeven.gateway.server.startup import open_services
from breakeven.router.model.artifact import Artifact


class Broken:
    """An artifact whose assessment raises, or takes long, for a text that asks for it."""

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact

    def __getattr__(self, name: str) -> Any:
        return getattr(self._artifact, name)

    def assess(self, text: str) -> Any:
        if "raise" in text:
            raise RuntimeError("canary: the prompt was " + text)
        if "dawdle" in text:
            end = time.thread_time() + 0.4
            while time.thread_time() < end:
                pass
        return self._artifact.assess(text)


def main() -> int:
    path = Path(sys.argv[sys.argv.index("--config") + 1])
    log.configure("debug")
    config = load_config(path)
    listener = run.bind(config)
    artifact, ledger = open_services(config)
    print(f"breakeven listens on http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    app = create_app(config, Broken(artifact), ledger)  # type: ignore[arg-type]
    return run.serve(app, config, listener)


if __name__ == "__main__":
    raise SystemExit(main())
