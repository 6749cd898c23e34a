"""Programs that offer HTTP/2 with each request, before a live gateway: it answers them in HTTP/1.1, and loses nothing.

The models behind the gateway are scripted, so that errors come for certain.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from docs.client_reference import CHAT, CLIENTS, versions
from tests.integration.clients import drivers
from tests.integration.clients.driving import CUT, EASY, HARD, REFUSED
from tests.integration.clients.model import ScriptedModel
from tests.integration.test_clients import TEXT, THRESHOLD
from tests.support import processes, real

_SECONDS = 300.0


def body(text: str, model: str = "auto", **more: object) -> str:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **more})


BODIES = {
    "plain": body(EASY),
    "stream": body(EASY, stream=True),
    "difficult": body(HARD),
    "refused": body(REFUSED),
    "unknown": body(EASY, "gpt-4"),
    # Larger than a socket's buffers: the offer of HTTP/2 comes before it.
    "large": body(EASY, metadata={"padding": "x" * 60_000}),
    "cut": body(CUT, stream=True),
}


@dataclass
class Answer:
    """What the program printed of an answer."""

    status: str
    text: str

    def pieces(self) -> list[str]:
        """The pieces of a stream."""
        events = [line.removeprefix("data: ") for line in self.text.splitlines() if line.startswith("data: {")]
        choices = [choice for event in events for choice in json.loads(event).get("choices", [])]
        return [choice["delta"]["content"] for choice in choices if choice["delta"].get("content")]

    def said(self) -> str:
        return str(json.loads(self.text)["choices"][0]["message"]["content"])


@dataclass
class Ran:
    """A program that has asked everything, and what came of it."""

    def __init__(
        self, answers: dict[str, Answer], gateway: processes.Gateway, models: tuple[ScriptedModel, ...]
    ) -> None:
        self.answers = answers
        self.gateway = gateway
        self.models = models


def _run(command: list[str], folder: Path) -> str:
    environment = drivers.hermetic(folder)
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=environment, cwd=folder, timeout=_SECONDS
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def java(url: str, folder: Path) -> dict[str, Answer]:
    """One process that asks everything over one client."""
    program = real.java(versions()["JAVA"])
    path = folder / "Ask.java"
    path.write_text(drivers.snippet("java_http_client.java", url), encoding="utf-8")
    # Compiled less, which starts sooner.
    options = ["-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8"]
    said = _run([program, *options, str(path), *BODIES.values()], folder)
    found: list[Answer] = []
    for line in said.splitlines():
        status, _, version = line.partition(" ")
        if version.startswith("HTTP_"):
            assert version == "HTTP_1_1"
            found.append(Answer(status, ""))
        else:
            found[-1].text += line + "\n"
    return dict(zip(BODIES, found, strict=True))


def curl(url: str, folder: Path) -> dict[str, Answer]:
    """A process for each request, each with the command of the documentation."""
    real.curl(versions()["CURL"])
    shown = drivers.snippet("curl_http2.sh", url)
    command, _, data = shown.rpartition(" -d ")
    assert json.loads(data.strip().strip("'")) == json.loads(BODIES["plain"])
    found = {}
    for name, text in BODIES.items():
        (folder / "body.json").write_text(text)
        said = _run(["bash", "-euc", f"{command} -d @body.json"], folder)
        answer, _, last = said.rpartition("\n")
        status, _, version = last.partition(" ")
        assert version == "1.1"
        found[name] = Answer(status, answer)
    return found


PROGRAMS = {"java_http_client.java": java, "curl_http2.sh": curl}


@pytest.fixture(scope="module", params=PROGRAMS)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """Each program, run once."""
    folder = tmp_path_factory.mktemp("client")
    with ScriptedModel("student") as student, ScriptedModel("teacher-model") as teacher:
        config = processes.make_config(
            student.url, teacher.url, routing={"threshold": THRESHOLD, "novelty_threshold": 1.0}
        )
        with processes.gateway(folder, config) as gateway:
            answers = PROGRAMS[request.param](gateway.url, folder)
            gateway.metrics()
            yield Ran(answers, gateway, (student, teacher))


def test_answer(ran: Ran) -> None:
    for name in ("plain", "large"):
        assert (ran.answers[name].status, ran.answers[name].said()) == ("200", TEXT)


def test_stream(ran: Ran) -> None:
    answer = ran.answers["stream"]
    assert answer.status == "200"
    assert len(answer.pieces()) == 4
    assert "".join(answer.pieces()) == TEXT
    assert "data: [DONE]" in answer.text


def test_routed(ran: Ran) -> None:
    assert ran.answers["plain"].said().startswith("student ")
    assert ran.answers["difficult"].said().startswith("teacher-model ")


def test_errors(ran: Ran) -> None:
    assert ran.answers["refused"].status == "400"
    assert "The prompt is refused." in ran.answers["refused"].text
    assert ran.answers["unknown"].status == "404"
    assert "The connection to the student broke." in ran.answers["cut"].text


def test_tokens(ran: Ran) -> None:
    for model, upstream in zip(ran.models, ("student", "teacher"), strict=True):
        rows: list[tuple[Any, ...]] = ran.gateway.sql(
            "SELECT count(*), sum(prompt_tokens), sum(output_tokens), min(usage_complete) FROM attempts "
            f"WHERE upstream = '{upstream}' AND outcome = 'ok'"
        )
        used = model.reported
        assert rows == [(len(used), sum(one.prompt for one in used), sum(one.output for one in used), 1)]


def test_the_table_claims_what_is_tested_here() -> None:
    here = [client for client in CLIENTS if client.test.endswith("test_http2_clients.py")]
    assert {client.snippet for client in here} == set(PROGRAMS)
    for client in here:
        assert client.endpoints == (CHAT,)
        assert client.checks == ("answer", "stream", "routed", "tokens")
