"""Multipart forms: what is read of them, and that the rest is kept byte for byte."""

from __future__ import annotations

import email
import email.message
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakeven.gateway.errors import RequestError
from breakeven.gateway.wire.form import Form

NAMES = st.text("abcdefgh_[]", min_size=1, max_size=6).filter(lambda name: name not in ("model", "stream"))
VALUES = st.one_of(
    st.binary(max_size=200), st.sampled_from([b"", b"\r\n", b"\r\n--", b"--bound", b"\r\n--boun\r\n", b"\0"])
)


def written(parts: list[tuple[str, bytes, bool]], boundary: str = "bound") -> bytes:
    body = b""
    for name, value, is_file in parts:
        more = '; filename="a.bin"\r\nContent-Type: application/octet-stream' if is_file else ""
        body += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"
        )
    return body + f"--{boundary}--\r\n".encode()


def form(raw: bytes, boundary: str = "bound") -> Form:
    return Form(raw, f"multipart/form-data; boundary={boundary}")


def by_the_standard_library(raw: bytes) -> list[tuple[str | None, bytes]]:
    head = b"Content-Type: multipart/form-data; boundary=bound\r\nMIME-Version: 1.0\r\n\r\n"
    parts = email.message_from_bytes(head + raw).get_payload()
    assert isinstance(parts, list)
    found = []
    for part in parts:
        assert isinstance(part, email.message.Message)
        value = part.get_payload(decode=True)
        assert isinstance(value, bytes)
        found.append((str(part.get_param("name", header="content-disposition")), value))
    return found


@given(
    parts=st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=5),
    at=st.integers(0, 5),
    name=st.sampled_from("abc"),
)
@settings(deadline=None, max_examples=300)
def test_any_form_keeps_its_bytes_and_the_model_is_replaced(
    parts: list[tuple[str, bytes, bool]], at: int, name: str
) -> None:
    parts = [part for part in parts if b"--bound" not in part[1]]
    at = min(at, len(parts))
    around = parts[:at], parts[at:]
    raw = written([*around[0], ("model", b"old", False), *around[1]])
    body = form(raw)
    assert body.encode() == raw
    assert body.get("model", str, "a string") == "old"
    changed = body.copy()
    changed.set("model", f"new-{name}")
    assert changed.encode() == written([*around[0], ("model", f"new-{name}".encode(), False), *around[1]])
    removed = body.copy()
    removed.remove("model")
    assert removed.encode() == written([*around[0], *around[1]])
    added = form(changed.encode()).copy()
    added.set("extra", "1")
    first = b'--bound\r\ncontent-disposition: form-data; name="extra"\r\n\r\n1\r\n'
    assert added.encode() == first + changed.encode()
    assert body.encode() == raw


def test_what_the_standard_library_reads_is_read() -> None:
    raw = written([("model", b"m", False), ("file", b"line\r\nline", True), ("prompt", "é".encode(), False)])
    body = form(raw)
    for name, value in by_the_standard_library(raw):
        if name != "file":
            assert body.get(str(name), str, "a string") == value.decode()
    assert body.get("file", str, "a string") is None


def test_headers_of_other_spellings() -> None:
    raw = (
        b"--bound\r\nX-Empty: \r\ncontent-disposition:form-data; NAME=model\r\n\r\nm\r\n"
        b'--bound \r\nContent-Disposition: form-data; name="stream"\r\nX:\r\n\r\ntrue\r\n--bound--'
    )
    body = form(raw)
    assert (body.get("model", str, "a string"), body.boolean("stream")) == ("m", True)
    body.set("model", "longer")
    assert body.encode() == raw.replace(b"\r\n\r\nm\r\n", b"\r\n\r\nlonger\r\n")


def test_a_long_text_is_not_read_and_kept() -> None:
    raw = written([("prompt", b"a" * 100_000, False), ("model", b"m", False)])
    body = form(raw)
    assert "prompt" not in body
    body.set("model", "n")
    assert body.encode() == raw.replace(b"\r\n\r\nm\r\n", b"\r\n\r\nn\r\n")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (written([("model", b"a", False), ("model", b"b", False)]), "duplicate_key"),
        # One parser would take the file, another the text.
        (written([("model", b"a", False), ("model", b"b", True)]), "duplicate_key"),
        (written([("stream", b"true", False), ("stream", b"false", False)]), "duplicate_key"),
        (written([]), "invalid_form"),
        (written([("model", b"a", False)])[:-6], "invalid_form"),
        (b"preamble" + written([("model", b"a", False)]), "invalid_form"),
        (b"--bound\r\nContent-Disposition: form-data\r\n\r\na\r\n--bound--\r\n", "invalid_form"),
        (b"--bound\r\n\r\na\r\n--bound--\r\n", "invalid_form"),
        (b"", "invalid_form"),
    ],
)
def test_what_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(RequestError) as refused:
        form(raw)
    assert (refused.value.status, refused.value.code) == (400, code)


@pytest.mark.parametrize("boundary", ["", "x" * 300])
def test_a_boundary_that_is_none(boundary: str) -> None:
    with pytest.raises(RequestError):
        Form(written([("model", b"a", False)], boundary), f"multipart/form-data; boundary={boundary}")


def test_a_large_form_takes_no_time_even_if_it_is_made_to() -> None:
    started = time.process_time()
    form(written([("file", b"\r\n--boun" * 2_000_000, True)]))
    with pytest.raises(RequestError):
        form(b"\r\n--bound" * 2_000_000)
    assert time.process_time() - started < 1.0
