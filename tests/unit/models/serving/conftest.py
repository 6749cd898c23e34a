"""A scripted vLLM."""

from __future__ import annotations

from pathlib import Path

import pytest

# A package called vllm that serves /v1/models, with a worker process that in one test ignores SIGTERM.
SCRIPTED = """
import argparse, http.server, json, os, signal, subprocess, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--model"); parser.add_argument("--port", type=int)
parser.add_argument("--max-model-len", type=int, default=2048)
parser.add_argument("--api-key")
options, _ = parser.parse_known_args()
print("loading", options.model, flush=True)
if os.environ.get("SCRIPTED_LOG"):
    print(open(os.environ["SCRIPTED_LOG"]).read(), flush=True)
if os.environ.get("SCRIPTED_ARGUMENTS"):
    with open(os.environ["SCRIPTED_ARGUMENTS"], "w") as file:
        json.dump({"argv": sys.argv[1:], "hub_offline": os.environ.get("HF_HUB_OFFLINE")}, file)
if os.environ.get("SCRIPTED") == "fails":
    print("RuntimeError: no room for the cache", flush=True); sys.exit(7)
if os.environ.get("SCRIPTED") == "hangs":
    time.sleep(60)
ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
if "WORKER_FILE" not in os.environ:
    ignore = "import time; print(1, flush=True); time.sleep(60)"
worker = subprocess.Popen([sys.executable, "-c", ignore], stdout=subprocess.PIPE)
worker.stdout.readline()
if "WORKER_FILE" in os.environ:
    open(os.environ["WORKER_FILE"], "w").write(str(worker.pid))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if options.api_key and self.headers.get("authorization") != f"Bearer {options.api_key}":
            self.send_response(401); self.send_header("content-length", "0"); self.end_headers()
            return
        body = json.dumps({"object": "list", "data": [{"id": "s", "max_model_len": options.max_model_len}]}).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("127.0.0.1", options.port), Handler).serve_forever()
"""


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model directory; this interpreter imports a scripted `vllm` package."""
    package = tmp_path / "packages" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "api_server.py").write_text(SCRIPTED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    return model
