"""A scripted Hugging Face hub on loopback: the part of its API that fetching models and datasets uses."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Hub(http.server.BaseHTTPRequestHandler):
    """Serves the repositories in `root`: `models/owner/name` and `datasets/owner/name`."""

    root: Path
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        asked = self.rfile.read(size)
        self._answer(asked)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, asked: bytes = b"") -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts[0] == "api" and len(parts) >= 4:
            self._api(self.root / parts[1] / parts[2] / parts[3], parts[4:], asked)
        elif "resolve" in parts:
            kind, rest = ("datasets", parts[1:]) if parts[0] == "datasets" else ("models", parts)
            self._file(self.root / kind / rest[0] / rest[1], "/".join(rest[4:]), rest[3])
        else:
            self._send(404, b"{}")

    def _api(self, repo: Path, rest: list[str], asked: bytes) -> None:
        if not repo.is_dir():
            self._send(404, b'{"error": "Repository not found"}', {"x-error-code": "RepoNotFound"})
            return
        if len(rest) > 1 and rest[1] not in ("main", COMMIT):
            self._send(404, b'{"error": "Invalid rev"}', {"x-error-code": "RevisionNotFound"})
            return
        found = [path for path in sorted(repo.rglob("*")) if path.is_file()]
        listed = [
            {"type": "file", "path": str(path.relative_to(repo)), "size": path.stat().st_size, "oid": _oid(path)}
            for path in found
        ]
        if rest[:1] == ["tree"]:
            under = "/".join(rest[2:])
            body: object = [one for one in listed if str(one["path"]).startswith(under)]
        elif rest[:1] == ["paths-info"]:
            wanted = json.loads(asked)["paths"] if asked.startswith(b"{") else []
            body = [one for one in listed if one["path"] in wanted]
        else:
            name = "/".join(repo.parts[-2:])
            siblings = [{"rfilename": one["path"]} for one in listed]
            body = {"id": name, "sha": COMMIT, "siblings": siblings, "private": False, "gated": False, "tags": []}
        self._send(200, json.dumps(body).encode(), {"content-type": "application/json"})

    def _file(self, repo: Path, name: str, revision: str) -> None:
        if not repo.is_dir():
            self._send(404, b"", {"x-error-code": "RepoNotFound"})
        elif revision not in ("main", COMMIT):
            self._send(404, b"", {"x-error-code": "RevisionNotFound"})
        elif not (repo / name).is_file():
            self._send(404, b"", {"x-error-code": "EntryNotFound", "x-repo-commit": COMMIT})
        else:
            self._send(200, (repo / name).read_bytes(), {"x-repo-commit": COMMIT, "etag": f'"{_oid(repo / name)}"'})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _oid(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def running(root: Path) -> Iterator[str]:
    """Serve the repositories in `root`; yields the address for HF_ENDPOINT."""
    handler = type("Hub", (_Hub,), {"root": root})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
