"""Compressed bodies for tests, by the name in content-encoding."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def gzipped(data: bytes) -> bytes:
    """gzip, the same bytes at any time."""
    return gzip.compress(data, mtime=0)


def members(data: bytes) -> bytes:
    """gzip of several members, the middle one empty, as a server writes that flushes by starting anew."""
    half = len(data) // 2
    return gzipped(data[:half]) + gzipped(b"") + gzipped(data[half:])


def frames(data: bytes) -> bytes:
    """zstd of two frames."""
    half = len(data) // 2
    return zstd.compress(data[:half]) + zstd.compress(data[half:])


def raw_deflate(data: bytes) -> bytes:
    """deflate without its header, as some servers send it."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


# Name of the case -> value of the header, and what compresses.
ENCODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzipped),
    "x-gzip": ("x-gzip", gzipped),
    "upper case": (" GZIP ", gzipped),
    "gzip of several members": ("gzip", members),
    "deflate": ("deflate", zlib.compress),
    "deflate without its header": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
    "zstd of two frames": ("zstd", frames),
    "two layers": ("br, gzip", lambda data: gzipped(brotli.compress(data))),
    "identity": ("identity", lambda data: data),
}
