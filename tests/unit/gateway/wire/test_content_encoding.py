"""Compressed bodies are decoded in pieces of bounded size, whatever their segments, and never beyond a limit."""

from __future__ import annotations

import gzip
import random
import zlib

import brotli
import pytest

from breakeven.gateway.wire.content_encoding import BrokenEncoding, UnknownEncoding, decoded, decoder
from tests.support.encodings import ENCODINGS

PACKED = [name for name in ENCODINGS if name != "identity"]
TEXT = random.Random(1).randbytes(70_000) + b"abc" * 400_000


def unpacked(header: str, data: bytes, size: int) -> tuple[bytes, int]:
    """The decoded segments, and the size of the largest piece."""
    found = decoder(header)
    assert found is not None
    pieces = [p for start in range(0, len(data), size) for p in found.decode(data[start : start + size])]
    found.end()
    assert all(pieces)
    return b"".join(pieces), max(map(len, pieces))


@pytest.mark.parametrize("size", [1, 1000, 10**9])
@pytest.mark.parametrize("name", PACKED)
def test_any_segmentation_gives_the_same_bytes_in_bounded_pieces(name: str, size: int) -> None:
    header, pack = ENCODINGS[name]
    plain = TEXT if size > 1 else TEXT[-100_000:]
    found, largest = unpacked(header, pack(plain), size)
    assert found == plain
    assert largest <= 1 << 20


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("length", [1 << 18, (1 << 18) + 1, 1 << 19, 0])
def test_output_that_fills_whole_pieces_is_complete(name: str, length: int) -> None:
    header, pack = ENCODINGS[name]
    assert decoded(pack(b"x" * length), header, length) == b"x" * length


@pytest.mark.parametrize("name", PACKED)
def test_more_than_the_limit_is_none_and_the_limit_itself_is_not(name: str) -> None:
    header, pack = ENCODINGS[name]
    data = pack(b"x" * 100_000)
    assert decoded(data, header, 100_000) == b"x" * 100_000
    assert decoded(data, header, 99_999) is None


@pytest.mark.parametrize("name", PACKED)
def test_a_bomb_is_not_unpacked_beyond_the_limit(name: str) -> None:
    header, pack = ENCODINGS[name]
    bomb = pack(bytes(32 << 20))
    found = decoder(header)
    assert found is not None
    assert decoded(bomb, header, 1 << 20) is None
    assert len(next(found.decode(bomb))) <= 1 << 20


@pytest.mark.parametrize("name", PACKED)
def test_a_body_that_ends_too_early_is_broken(name: str) -> None:
    header, pack = ENCODINGS[name]
    data = pack(b"some text that is packed")
    for end in range(1, len(data)):
        if name in ("gzip of several members", "zstd of two frames") and end == len(data) // 2:
            continue
        try:
            decoded(data[:end], header, 1000)
        except BrokenEncoding:
            continue
        assert name in ("gzip of several members", "zstd of two frames"), end  # cut between two of them


@pytest.mark.parametrize("name", PACKED)
def test_no_bytes_at_all_are_an_empty_body(name: str) -> None:
    assert decoded(b"", ENCODINGS[name][0], 10) == b""


@pytest.mark.parametrize("header", ["gzip", "deflate", "br", "zstd"])
def test_what_is_not_in_the_encoding_or_follows_it_is_broken(header: str) -> None:
    for data in (b"\xff\xff\xff\xff\xff", ENCODINGS[header][1](b"text") + b"garbage"):
        with pytest.raises(BrokenEncoding):
            decoded(data, header, 1000)


def test_zeros_behind_gzip_are_padding() -> None:
    assert decoded(gzip.compress(b"a") + bytes(100), "gzip", 10) == b"a"
    assert decoded(gzip.compress(b"a") + bytes(100) + gzip.compress(b"b"), "gzip", 10) == b"ab"


@pytest.mark.parametrize("header", ["", "identity", " Identity , "])
def test_identity_is_no_encoding(header: str) -> None:
    assert decoder(header) is None
    assert decoded(b"as it is", header, 3) == b"as it is"


@pytest.mark.parametrize("header", ["compress", "gzip; q=1", "gzip, what", "gzip,gzip,gzip,gzip", "aws-chunked"])
def test_unknown_encodings_are_refused(header: str) -> None:
    with pytest.raises(UnknownEncoding):
        decoder(header)


def test_layers_are_removed_from_the_last_to_the_first() -> None:
    data = zlib.compress(gzip.compress(brotli.compress(b"text")))
    assert decoded(data, "br, gzip, deflate", 10) == b"text"
