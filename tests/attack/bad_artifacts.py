"""Router artifacts that must not load, by name, each with what its refusal must name. Their hashes fit."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.attack.small_artifact import Arrays, write_raw

Change = Callable[[Arrays, dict[str, Any]], None]


def _set(name: str, at: Any, value: Any) -> Change:
    """One entry of a table, or several, with another value."""

    def change(arrays: Arrays, _: dict[str, Any]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][at] = value

    return change


def _put(name: str, make: Callable[[Any], Any]) -> Change:
    def change(arrays: Arrays, _: dict[str, Any]) -> None:
        arrays[name] = make(arrays[name])

    return change


def _number(name: str, value: Any) -> Change:
    def change(_: Arrays, metadata: dict[str, Any]) -> None:
        metadata[name] = value

    return change


def _one_text_often(arrays: Arrays, _: dict[str, Any]) -> None:
    """A posting list with one text 65,538 times: a counter of 16 bits starts again, and the text is listed again."""
    count = (1 << 16) + 2
    arrays["novelty_texts"] = np.concatenate([arrays["novelty_texts"], np.zeros(count, np.uint16)])
    arrays["novelty_ends"] = np.append(arrays["novelty_ends"], arrays["novelty_ends"][-1] + count).astype(np.uint32)
    free = np.setdiff1d(np.arange(1000, dtype=np.uint32), arrays["novelty_places"])[:1]
    arrays["novelty_places"] = np.concatenate([arrays["novelty_places"], free])


def _many_texts(arrays: Arrays, _: dict[str, Any]) -> None:
    arrays["novelty_norms"] = np.full((1 << 16) + 1, 100.0)


def _crossing_splits(arrays: Arrays, _: dict[str, Any]) -> None:
    arrays["forest_leaves"] = arrays["forest_leaves"].copy()
    arrays["forest_leaves"][:2, 0] = ~0b0110, ~0b0011


_NAN, _INF = float("nan"), float("inf")
TABLES: dict[str, tuple[Change, str]] = {
    "a text 65,538 times in a posting list": (_one_text_often, "novelty_texts"),
    "a text twice in a posting list": (_set("novelty_texts", slice(0, 2), 3), "novelty_texts"),
    "a posting list in another order": (_put("novelty_texts", lambda of: of[::-1].copy()), "novelty_texts"),
    "a text of the index that does not exist": (_set("novelty_texts", 0, 65535), "novelty_texts"),
    "posting lists that end before they begin": (_put("novelty_ends", lambda of: of[::-1].copy()), "novelty_ends"),
    "posting lists beyond the texts": (_set("novelty_ends", -1, 1 << 31), "novelty_ends"),
    "a posting list of nothing": (_put("novelty_ends", lambda of: np.repeat(of[::2], 2)[: len(of)]), "novelty_ends"),
    "more ends than places": (_put("novelty_places", lambda of: of[:-1].copy()), "novelty_ends"),
    "a place twice": (_set("novelty_places", slice(0, 2), 5), "novelty_places"),
    "a place outside the buckets": (_set("novelty_places", 0, (1 << 32) - 1), "novelty_places"),
    "more texts than the index can number": (_many_texts, "novelty_norms"),
    "no texts": (_put("novelty_norms", lambda of: of[:0]), "novelty_norms"),
    "a norm that is no number": (_set("novelty_norms", 0, _NAN), "novelty_norms"),
    "a norm of zero": (_set("novelty_norms", 0, 0.0), "novelty_norms"),
    "an infinite norm": (_set("novelty_norms", 0, _INF), "novelty_norms"),
    "an idf of zero": (_set("novelty_idf", slice(None), 0), "novelty_idf"),
    "an idf that runs into the row": (_set("novelty_idf", 7, 65535), "novelty_idf"),
    "no deviation": (_set("novelty_deviation", 0, 0.0), "novelty_deviation"),
    "a deviation that is no number": (_set("novelty_deviation", 3, _NAN), "novelty_deviation"),
    "a negative deviation": (_set("novelty_deviation", 3, -5.0), "novelty_deviation"),
    "a mean at the end of the numbers": (_set("novelty_mean", 0, -(1 << 63)), "novelty_mean"),
    "a whitening at the end of the numbers": (_set("novelty_whiten", (0, 0), (1 << 63) - 1), "novelty_whiten"),
    "statistics that are no numbers": (_set("novelty_tables", (0, 3), _NAN), "novelty_tables"),
    "statistics out of order": (_put("novelty_tables", lambda of: of[:, ::-1].copy()), "novelty_tables"),
    "no statistics": (_put("novelty_tables", lambda of: of[:, :0]), "novelty_tables"),
    "sums out of order": (_put("novelty_sums", lambda of: of[::-1].copy()), "novelty_sums"),
    "an infinite sum": (_set("novelty_sums", -1, _INF), "novelty_sums"),
    "a weight of a shape that is no number": (_set("shape", (0, 0), _NAN), "shape"),
    "an infinite weight of a shape": (_set("shape", (1, 2), -_INF), "shape"),
    "a mean that is no number": (_set("mean", 0, _NAN), "mean"),
    "a negative squared idf": (_set("squared", 9, -1), "squared"),
    "ranks out of order": (_put("ranks", lambda _: np.array([0.0, 2.0, 1.0])), "ranks"),
    "ranks that are no numbers": (_put("ranks", lambda _: np.array([0.0, _NAN])), "ranks"),
    "one rank": (_put("ranks", lambda _: np.zeros(1)), "ranks"),
    "a measure that does not exist": (_set("forest_measures", (0, 0), 99), "forest_measures"),
    "a negative measure": (_set("forest_measures", (0, 0), -1), "forest_measures"),
    "a bad measure of a split that is never taken": (
        lambda arrays, metadata: [
            _set(name, (4, 1), value)(arrays, metadata)
            for name, value in (("forest_thresholds", (1 << 63) - 1), ("forest_measures", 1 << 40))
        ],
        "forest_measures",
    ),
    "a tree without a last leaf": (_set("forest_leaves", (30, 0), ~(0b11 << 30)), "forest_leaves"),
    "a split that removes all leaves": (_set("forest_leaves", (0, 0), 0), "forest_leaves"),
    "a split that removes leaves that do not exist": (_set("forest_leaves", (0, 0), 1), "forest_leaves"),
    "a split whose leaves are apart": (_set("forest_leaves", (0, 0), ~0b101), "forest_leaves"),
    "splits that cross, as in a cycle": (_crossing_splits, "forest_leaves"),
    "a value of a leaf at the end of the numbers": (_set("forest_values", (0, 0, 0), 1 << 62), "forest_values"),
    "trees cut off": (_put("forest_values", lambda of: of[:-1]), "forest_values"),
    "thresholds as floats with NaN": (_put("forest_thresholds", lambda of: of * _NAN), "forest_thresholds"),
    "a term outside the buckets": (_set("space_terms", 0, (1 << 32) - 1), "space_terms"),
    "a term twice": (_set("space_terms", slice(0, 2), 5), "space_terms"),
    "terms without rows": (_put("space_table", lambda of: of[:-1]), "terms of the latent space"),
    "points that are too long": (_set("votes_points", 0, 32767), "points"),
    "points without labels": (_put("votes_opinions", lambda of: of[:-1]), "points and labels"),
    "a table of objects": (_put("shape", lambda _: np.array([[object()] * 24] * 2)), "shape"),
    "a table of another type": (_put("weighted", lambda of: of.astype(np.int64)), "weighted"),
    "a table of big-endian numbers": (_put("mean", lambda of: of.astype(">f8")), "mean"),
    "a spread of zero": (_number("spread", 0.0), "spread"),
    "a negative slope": (_number("slope", -1.0), "slope"),
    "a bend below the slope": (_number("bend", -2.0), "slope"),
    **{
        f"{name} {value!r:.12}": (_number(name, value), name)
        for name in ("student_bias", "intercept", "middle", "spread", "noise", "novel_worse")
        for value in (_NAN, _INF, "1", None, True, 10**400)
    },
    "a base rate above one": (_number("novel_worse", 1.5), "novel_worse"),
    "a negative noise": (_number("noise", -1.0), "noise"),
    "a student that is no name": (_number("student", ["a"]), "student"),
}


def packed(arrays: Arrays) -> bytes:
    """The bytes of an .npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _members(arrays: Arrays, **replaced: bytes) -> bytes:
    """An .npz file with the bytes of some members replaced."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed(arrays))) as good, zipfile.ZipFile(buffer, "w") as bad:
        for name in good.namelist():
            other = replaced.get(name.removesuffix(".npy"))
            if other is None:
                bad.writestr(name, good.read(name))
            else:
                bad.writestr(name, other, zipfile.ZIP_DEFLATED, 1)
    return buffer.getvalue()


def _header(shape: str, kind: str = "<f8") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


class _Ran:
    """What unpickling would call."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('a pickle was loaded')",)


def _lying_size(arrays: Arrays) -> bytes:
    """A zip bomb: a member says that it has few bytes, and unpacks to many."""
    data = bytearray(_members(arrays, mean=_header("(24,)") + bytes(1 << 26)))
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"mean.npy"))
    struct.pack_into("<I", data, at + 24, len(_header("(24,)")) + 24 * 8)
    return bytes(data)


def _twice(arrays: Arrays) -> bytes:
    buffer = io.BytesIO(packed(arrays))
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("mean.npy", b"x")
    return buffer.getvalue()


def _flipped(arrays: Arrays) -> bytes:
    data = bytearray(packed(arrays))
    at = data.index(b"weighted.npy") + 3000
    data[at : at + 64] = b"\xff" * 64
    return bytes(data)


def _encrypted(arrays: Arrays) -> bytes:
    data = bytearray(packed(arrays))
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"mean.npy"))
    data[at + 8] |= 1
    return bytes(data)


def _unknown_packing(arrays: Arrays) -> bytes:
    data = bytearray(packed(arrays))
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"mean.npy"))
    struct.pack_into("<H", data, at + 10, 93)
    return bytes(data)


FILES: dict[str, tuple[Callable[[Arrays], bytes], str]] = {
    "no archive": (lambda _: b"no zip at all", "no archive"),
    "nothing": (lambda _: b"", "no archive"),
    "an archive of nothing": (lambda _: packed({}), "is missing"),
    "a pickle as the file": (lambda _: pickle.dumps(_Ran()), "no archive"),
    "a pickle as a table": (lambda arrays: _members(arrays, mean=pickle.dumps(_Ran())), "mean"),
    "a pickle inside a table of objects": (
        lambda arrays: _members(arrays, mean=_header("(24,)", "|O") + pickle.dumps(_Ran())),
        "mean",
    ),
    "a huge declared shape": (lambda arrays: _members(arrays, ranks=_header("(1000000000000,)")), "ranks"),
    "a shape of 100 digits": (lambda arrays: _members(arrays, ranks=_header(f"({'9' * 100},)")), "ranks"),
    "a negative shape": (lambda arrays: _members(arrays, ranks=_header("(-1,)") + bytes(8)), "ranks"),
    "a deep header": (lambda arrays: _members(arrays, ranks=_header("(" * 5000)), "ranks"),
    "a header of code": (lambda arrays: _members(arrays, ranks=_header("__import__('os').getcwd()")), "ranks"),
    "a table cut off": (lambda arrays: _members(arrays, mean=_header("(24,)") + bytes(24 * 8 - 1)), "mean"),
    "a table with more behind it": (lambda arrays: _members(arrays, mean=_header("(24,)") + bytes(24 * 8 + 1)), "mean"),
    "a bomb of 300 MB": (
        lambda arrays: _members(arrays, votes_points=_header("(6250000, 24)", "<i2") + bytes(300_000_000)),
        "votes_points",
    ),
    "a bomb that lies about its size": (_lying_size, "mean"),
    "a table twice": (_twice, "mean"),
    "a damaged table": (_flipped, "weighted"),
    "an encrypted table": (_encrypted, "mean"),
    "an unknown compression": (_unknown_packing, "mean"),
    "cut off": (lambda arrays: packed(arrays)[:-100], "no archive"),
    "a bomb of zlib": (lambda _: zlib.compress(bytes(1 << 24)), "no archive"),
}
METADATA: dict[str, bytes] = {
    "deep metadata": b"[" * 200_000,
    "metadata with a number of 5,000 digits": b'{"format": 8, "features": 4, "spread": ' + b"9" * 5000 + b"}",
    "metadata in another encoding": "{}".encode("utf-16"),
    "metadata that is no object": b"[]",
    "half of the metadata": b'{"format": 8, "feat',
    "large metadata": b'{"x": "' + b"x" * (1 << 25) + b'"}',
}


def write_bad(folder: Path, name: str, arrays: Arrays, metadata: dict[str, Any]) -> str:
    """Write the bad artifact of this name to a folder; `arrays` and `metadata` are a good one's. Returns what its
    refusal must name.
    """
    if name in TABLES:
        change, named = TABLES[name]
        arrays, metadata = dict(arrays), dict(metadata)
        change(arrays, metadata)
        write_raw(folder, packed(arrays), metadata)
        return named
    if name in FILES:
        make, named = FILES[name]
        write_raw(folder, make(arrays), metadata)
        return named
    write_raw(folder, b"", metadata)
    (folder / "metadata.json").write_bytes(METADATA[name])
    return "metadata.json" if name != "metadata that is no object" else "another version"


NAMES = (*TABLES, *FILES, *METADATA)
