"""The tokenizers of upstreams: what is asked of a server, when it is left alone, and vocabularies that do not load."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from breakeven.gateway.config.load import load_config
from breakeven.gateway.errors import ConfigError
from breakeven.gateway.server.startup import check_loadable
from breakeven.gateway.upstreams.tokenizers import ServerTokenizer
from breakeven.gateway.wire.body import Body


class Server:
    """What a tokenizer sends, and what is answered."""

    def __init__(self, status: int = 200, answer: bytes = b'{"count": 5, "tokens": [1, 2]}') -> None:
        self.status, self.answer = status, answer
        self.asked: list[Any] = []

    async def send(self, document: bytes) -> tuple[int, bytes]:
        self.asked.append(json.loads(document))
        await asyncio.sleep(0)
        return self.status, self.answer


def body(**fields: Any) -> Body:
    return Body(json.dumps(fields).encode())


def prompt_of(server: Server, **fields: Any) -> int | None:
    return asyncio.run(ServerTokenizer("m", server.send).prompt(body(**fields)))


def test_what_belongs_to_the_prompt_is_sent_and_nothing_else() -> None:
    server = Server()
    messages = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    fields = {"messages": messages, "tools": [], "chat_template_kwargs": {"a": 1}}
    assert prompt_of(server, model="auto", temperature=0, **fields) == 5
    assert server.asked == [{"model": "m", **fields}]


def test_a_prompt_of_token_numbers_needs_no_tokenizer() -> None:
    server = Server()
    assert prompt_of(server, prompt=[5, 6, 7]) == 3
    assert prompt_of(server, prompt=["one", "two"]) is None
    assert prompt_of(server, input="hi") is None
    assert server.asked == []


def test_long_texts_and_prompts_are_not_sent() -> None:
    server = Server()
    assert prompt_of(server, prompt="x" * (1 << 19)) is None
    assert asyncio.run(ServerTokenizer("m", server.send).text("x" * (1 << 19))) is None
    assert server.asked == []


@pytest.mark.parametrize(("status", "times"), [(404, 1), (405, 1), (501, 1), (400, 3), (503, 3)])
def test_a_server_without_a_tokenizer_is_left_alone(status: int, times: int) -> None:
    server = Server(status)

    async def thrice() -> None:
        tokenizer = ServerTokenizer("m", server.send)
        assert [await tokenizer.text("hi") for _ in range(3)] == [None, None, None]

    asyncio.run(thrice())
    assert len(server.asked) == times


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"count": "many"}', b'{"count": 1.5}'])
def test_an_answer_without_a_count(answer: bytes) -> None:
    assert asyncio.run(ServerTokenizer("m", Server(answer=answer).send).text("hi")) is None


def test_more_than_64_at_once_are_not_counted() -> None:
    server = Server()

    async def many() -> list[int | None]:
        tokenizer = ServerTokenizer("m", server.send)
        return await asyncio.gather(*(tokenizer.text("hi") for _ in range(100)))

    assert asyncio.run(many()).count(5) == 64
    assert len(server.asked) == 64


def config(folder: Path, tokenizer: str) -> Path:
    teacher = {"base_url": "http://127.0.0.1:1/v1", "model": "big", "usd_per_million": {"input": 1, "output": 1}}
    student = {"base_url": "http://127.0.0.1:2/v1", "model": "small"}
    path = folder / "breakeven.yaml"
    path.write_text(yaml.safe_dump({"student": student, "teacher": {**teacher, "tokenizer": tokenizer}}))
    return path


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        ("none.json", "none.json does not exist; give the path of a tokenizer.json, relative to the config"),
        ("broken.json", "broken.json is not a tokenizer.json of Hugging Face"),
        ("tiktoken:o200k", "tiktoken has no encoding o200k; choose one of cl100k_base, "),
    ],
)
def test_a_tokenizer_that_cannot_be_loaded_is_an_error_of_the_config(
    tmp_path: Path, tokenizer: str, message: str
) -> None:
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(ConfigError) as caught:
        check_loadable(load_config(config(tmp_path, tokenizer)))
    (said,) = caught.value.faults
    assert said.startswith("teacher.tokenizer: ")
    assert message in said


def test_a_name_of_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.tokenizer"):
        load_config(config(tmp_path, "gpt2"))


def test_the_student_is_asked_by_default_and_a_path_is_relative_to_the_config(tmp_path: Path) -> None:
    loaded = load_config(config(tmp_path, "tokenizer.json"))
    assert loaded.student.tokenizer == "auto"
    assert loaded.teacher.tokenizer == str(tmp_path / "tokenizer.json")
