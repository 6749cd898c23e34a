"""Decoding of bodies that were compressed for transport: the values of the content-encoding header.

Output comes in pieces of bounded size, so that a small body cannot fill the memory. gzip is zlib's, of any number of
members; zstd is the standard library's (from Python 3.14; before that its backport), br the library of Brotli's
authors. The last two are imported with the first body that needs them.
"""

from __future__ import annotations

import abc
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

ENCODINGS = ("gzip", "deflate", "br", "zstd")
_PIECE_BYTES = 1 << 18
# The largest window that the standard of this encoding allows (RFC 9659); without it a frame may demand 2 GiB.
_ZSTD_WINDOW_LOG = 23
# No codings at all, but what misconfigured servers write there of a body that is as it is.
_NOTHING = frozenset({"", "identity", "none", "binary", "8bit", "7bit", "utf-8", "utf8", "us-ascii", "ascii"})
# A longer list of encodings is an attack: each layer multiplies the work.
_MAX_LAYERS = 3


class UnknownEncoding(ValueError):
    """The header names an encoding that is not supported."""


class BrokenEncoding(ValueError):
    """The body is not what its encoding says, or it ends too early."""


class Decoder(abc.ABC):
    """Decodes one body: `decode` each part of it, then `end`."""

    @abc.abstractmethod
    def decode(self, data: bytes) -> Iterator[bytes]:
        """The decoded pieces of the next part, none of them empty. Exhaust it before the next part.

        Raises BrokenEncoding.
        """

    @abc.abstractmethod
    def end(self) -> None:
        """Raise BrokenEncoding if the body was not complete."""


def decoder(header: str) -> Decoder | None:
    """A decoder for this value of content-encoding, None where it is only identity. Raises UnknownEncoding."""
    names = [name for name in (part.strip().lower() for part in header.split(",")) if name not in _NOTHING]
    if len(names) > _MAX_LAYERS or any(name not in _DECODERS for name in names):
        raise UnknownEncoding(header)
    # The last one was applied last.
    layers = [_DECODERS[name]() for name in reversed(names)]
    if not layers:
        return None
    return layers[0] if len(layers) == 1 else _Layers(layers)


def decoded(data: bytes, header: str, limit: int) -> bytes | None:
    """The whole decoded body, None if it has more than `limit` bytes. Raises UnknownEncoding and BrokenEncoding."""
    layers = decoder(header)
    if layers is None:
        return data
    pieces, size = [], 0
    for piece in layers.decode(data):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            return None
    layers.end()
    return b"".join(pieces)


class _Layers(Decoder):
    def __init__(self, layers: list[Decoder]) -> None:
        self._layers = layers

    def decode(self, data: bytes) -> Iterator[bytes]:
        return self._through(data, 0)

    def _through(self, data: bytes, layer: int) -> Iterator[bytes]:
        if layer == len(self._layers):
            yield data
            return
        for piece in self._layers[layer].decode(data):
            yield from self._through(piece, layer + 1)

    def end(self) -> None:
        for layer in self._layers:
            layer.end()


class _Zlib(Decoder):
    """gzip, of one or more members, or deflate, with its header or (as some servers send it) without."""

    def __init__(self, gzip: bool) -> None:
        self._gzip = gzip
        self._head = b""
        self._inflater: zlib._Decompress | None = None

    def decode(self, data: bytes) -> Iterator[bytes]:
        full = False
        # A piece of the full size may leave output behind although all input was taken.
        while data or full:
            if self._inflater is None:
                data = self._begun(data)
                if self._inflater is None:
                    return
            piece = self._inflated(data)
            if piece:
                yield piece
            full = len(piece) == _PIECE_BYTES
            data = self._inflater.unconsumed_tail
            if self._inflater.eof:
                data, full = self._inflater.unused_data, False
                self._inflater = None
                if data and not self._gzip:
                    raise BrokenEncoding
                # Zeros may fill a block after the last member.
                data = data.lstrip(b"\0")

    def end(self) -> None:
        if self._inflater is not None or self._head:
            raise BrokenEncoding

    def _begun(self, data: bytes) -> bytes:
        """Start a member where the data allows; returns what is still to be inflated."""
        head, self._head = self._head + data, b""
        if self._gzip:
            self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
        elif len(head) > 1:
            # RFC 1950: the method is 8, and the first two bytes are a multiple of 31.
            wrapped = head[0] & 0x0F == 8 and (head[0] << 8 | head[1]) % 31 == 0
            self._inflater = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        else:
            self._head = head
        return head

    def _inflated(self, data: bytes) -> bytes:
        assert self._inflater is not None
        try:
            return self._inflater.decompress(data, _PIECE_BYTES)
        except zlib.error:
            raise BrokenEncoding from None


class _Zstd(Decoder):
    """zstd, of one or more frames."""

    def __init__(self) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        self._fresh: Callable[[], Any] = lambda: zstd.ZstdDecompressor(options=options)
        self._error: type[Exception] = zstd.ZstdError
        self._frame: Any = None

    def decode(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._frame is None:
                self._frame = self._fresh()
            frame = self._frame
            more = True
            while more:
                try:
                    piece = frame.decompress(data, _PIECE_BYTES)
                except self._error:
                    raise BrokenEncoding from None
                data = b""
                more = not (frame.eof or frame.needs_input)
                if piece:
                    yield piece
            if frame.eof:
                data, self._frame = frame.unused_data, None

    def end(self) -> None:
        if self._frame is not None:
            raise BrokenEncoding


class _Brotli(Decoder):
    def __init__(self) -> None:
        import brotli

        self._stream: Any = brotli.Decompressor()
        self._error: type[Exception] = brotli.error
        self._started = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        self._started = self._started or bool(data)
        more = bool(data)
        while more:
            try:
                piece = self._stream.process(data, output_buffer_limit=_PIECE_BYTES)
            except self._error:
                raise BrokenEncoding from None
            data = b""
            # It takes more input although there is more output of the last.
            more = not self._stream.is_finished() and (bool(piece) or not self._stream.can_accept_more_data())
            if piece:
                yield piece

    def end(self) -> None:
        if self._started and not self._stream.is_finished():
            raise BrokenEncoding


_DECODERS: dict[str, Callable[[], Decoder]] = {
    "gzip": lambda: _Zlib(gzip=True),
    "x-gzip": lambda: _Zlib(gzip=True),
    "deflate": lambda: _Zlib(gzip=False),
    "br": _Brotli,
    "zstd": _Zstd,
}
