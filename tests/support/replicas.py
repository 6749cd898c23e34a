"""vLLM replicas of which only /metrics answers, on 127.0.0.1: started, stopped and loaded by the test."""

from __future__ import annotations

import http.server
import threading
from typing import Any

from tests.support.processes import free_port

# As vLLM 0.32 writes them, with two of many other series.
_METRICS = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="student"}} {running}
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{engine="0",model_name="student"}} 7.0
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{{engine="0",model_name="student"}} {prompt}
# TYPE vllm:prompt_tokens_created gauge
vllm:prompt_tokens_created{{engine="0",model_name="student"}} 1.7955796627828507e+09
# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{engine="0",model_name="student"}} {generation}
"""


def metrics_of_vllm(running: float = 0.0, prompt: float = 0.0, generation: float = 0.0) -> str:
    """The metrics of a vLLM with `running` requests that has processed these tokens."""
    return _METRICS.format(running=running, prompt=prompt, generation=generation)


class MetricsServer:
    """A replica. While it is stopped its port refuses connections. Set `body` and `status` for what it answers."""

    def __init__(self, body: str | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/metrics"
        self.body = metrics_of_vllm() if body is None else body
        self.status = 200
        self.asked = 0
        self._server: http.server.ThreadingHTTPServer | None = None

    def __enter__(self) -> MetricsServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                body = outer.body.encode()
                self.send_response(outer.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
