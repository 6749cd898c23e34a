"""Reading an artifact's weights.npz as a stranger's file: only the tables that are expected, of the shapes and types
that are expected, and never more memory than the file may declare.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from breakeven.router.model.tables import Shapes, Tables

# Of all tables together, unpacked; the largest that `breakeven train` writes have about 30 MB.
MAX_BYTES = 1 << 28

_MAGIC = b"\x93NUMPY\x01\x00"
_MAX_HEADER = 512
_HEADER = re.compile(
    rb"\{'descr': '([<>|=]?[A-Za-z]\d{0,3})', 'fortran_order': (True|False), "
    rb"'shape': \((|\d{1,12},|\d{1,12}(?:, \d{1,12}){1,7})\), \}\s*"
)


def unpack(weights: bytes, shapes: Shapes) -> Tables:
    """The tables that `shapes` names, from the bytes of an .npz file; other members are not read, and nothing is ever
    unpickled.

    Raises ValueError, which names the table, where one is missing, damaged, too large or of another shape or type.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(weights))
    except Exception:  # whatever a damaged directory makes zipfile raise
        raise ValueError("it is no archive of tables") from None
    with archive:
        members = archive.namelist()
        if twice := {name for name in members if members.count(name) > 1} if len(members) < 1000 else {"a member"}:
            raise ValueError(f"{min(twice)[:100]} is in it twice")
        left = MAX_BYTES
        found: Tables = {}
        for name, (shape, kind) in shapes.items():
            if f"{name}.npy" not in members:
                raise ValueError(f"{name} is missing")
            size = archive.getinfo(f"{name}.npy").file_size
            left -= size
            if left < 0:
                raise ValueError(f"{name} is too large: all tables together may have {MAX_BYTES} bytes")
            found[name] = _table(archive, name, size, shape, kind)
    return found


def _table(archive: zipfile.ZipFile, name: str, size: int, shape: tuple[int | None, ...], kind: str) -> NDArray[Any]:
    try:
        # Never more than `size` bytes are unpacked of a member, whatever it holds.
        with archive.open(f"{name}.npy") as member:
            dtype, fortran, found = _header(member)
            begin = member.tell()
            fits = len(found) == len(shape) and all(w in (None, n) for w, n in zip(shape, found, strict=True))
            expected = np.dtype(kind)
            if not fits or dtype != expected.str:
                raise ValueError(f"{name} has the wrong shape or type")
            if begin + math.prod(found) * expected.itemsize != size:
                raise ValueError(f"{name} is cut off, or longer than it says")
            return np.ndarray(found, expected, buffer=member.read() or None, order="F" if fortran else "C")
    except ValueError as error:
        if str(error).startswith(name):
            raise
        raise ValueError(f"{name} cannot be read") from None
    except Exception:  # zlib's and zipfile's own errors, encryption, a checksum, memory
        raise ValueError(f"{name} cannot be read") from None


def _header(member: IO[bytes]) -> tuple[str, bool, tuple[int, ...]]:
    """Type, order and shape of a table in numpy's format, as numpy writes them.

    Numpy's own reader evaluates the header as Python, which fails where two threads do it at once (CPython 3.11).
    """
    if member.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("not numpy's format")
    (length,) = struct.unpack("<H", member.read(2))
    found = _HEADER.fullmatch(member.read(length)) if length <= _MAX_HEADER else None
    if found is None:
        raise ValueError("not numpy's header")
    shape = tuple(int(number) for number in found[3].decode().replace(",", " ").split())
    return found[1].decode(), found[2] == b"True", shape
