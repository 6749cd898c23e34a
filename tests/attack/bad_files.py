"""Config files that must be refused, by name: what stands at the config's path, and what it names.

Each is made from a good config, as a mapping, and put at its path as an operator or a ConfigMap would.
"""

from __future__ import annotations

import copy
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Config = dict[str, Any]
# Puts a bad file at the path; the mapping is a good config's.
Make = Callable[[Path, Config], None]


def put(path: Path, content: str | bytes) -> None:
    """Replace what is at the path by a file, in one step."""
    clear(path)
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.write_bytes(content if isinstance(content, bytes) else content.encode())
    fresh.replace(path)


def clear(path: Path) -> None:
    """Remove what is at the path, unless it is an ordinary file, which can be replaced."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        path.unlink()


def _yaml(config: Config) -> str:
    return yaml.safe_dump(config)


def _added(text: str) -> Make:
    """The good file with this at its end."""
    return lambda path, good: put(path, f"{_yaml(good)}{text}\n")


def _alone(text: str | bytes) -> Make:
    return lambda path, _: put(path, text)


def _with(**sections: Any) -> Make:
    """The good config with other keys in these sections."""

    def make(path: Path, good: Config) -> None:
        changed = copy.deepcopy(good)
        for name, values in sections.items():
            if isinstance(values, dict) and isinstance(changed.get(name), dict):
                changed[name] |= values
            else:
                changed[name] = values
        put(path, _yaml(changed))

    return make


def _beside(name: str, content: str | bytes, make: Make) -> Make:
    """With another file beside the config, which it names."""

    def both(path: Path, good: Config) -> None:
        other = path.parent / name
        other.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            other.write_bytes(content)
        else:
            other.write_text(content)
        make(path, good)

    return both


def _at(place: Callable[[Path], Any]) -> Make:
    """Something else than a file at the path."""

    def make(path: Path, _: Config) -> None:
        clear(path)
        path.unlink(missing_ok=True)
        place(path)

    return make


def _pipe_beside(name: str, make: Make) -> Make:
    def both(path: Path, good: Config) -> None:
        (path.parent / name).unlink(missing_ok=True)
        os.mkfifo(path.parent / name)
        make(path, good)

    return both


def _half(path: Path, good: Config) -> None:
    put(path, _yaml(good) + "models: [{name: half, base_ur")


def _swapped_link(path: Path, _: Config) -> None:
    """As Kubernetes mounts a ConfigMap: a link over a link to a folder, which is renamed over the one before."""
    folder = path.parent / "..data-new"
    folder.mkdir(exist_ok=True)
    (folder / path.name).write_text("server: [")
    clear(path.parent / "..data")
    (path.parent / "..data").symlink_to(folder.name)
    link = path.parent / ".link"
    link.symlink_to(f"..data/{path.name}")
    link.replace(path)


def _aliases(levels: int, merge: bool) -> str:
    """Ten aliases of ten aliases and so on: 10 ** levels values when written out."""
    inner = "{<<: [%s]}" if merge else "[%s]"
    lines = ["x0: &x0 {a: 1, b: 2, c: 3}"]
    for n in range(1, levels):
        names = ", ".join([f"*x{n - 1}"] * 10) if not merge else f"*x{n - 1}, *x{max(0, n - 2)}"
        lines.append(f"x{n}: &x{n} " + inner % names)
    return "\n".join(lines)


def _scorer(code: str) -> Make:
    """A scorer of the operator's, in a module beside the config, which is on the path of modules."""
    name = f"scorer_{zlib.crc32(code.encode())}"
    return _beside(f"{name}.py", code, _with(road={"sample": 0.1, "scorer": f"{name}:score"}))


_MODEL = {"name": "a", "model": "a", "paths": ["/a"]}
_PRICES = '{"big": {"input_cost_per_token": %s, "output_cost_per_token": 1e-6}}'


def _priced(content: str | bytes) -> Make:
    return _beside("prices.json", content, _with(teacher={"usd_per_million": None, "prices_file": "prices.json"}))


# Refused by `check`, by `serve`, and on a reload.
FILES: dict[str, Make] = {
    "an impossible date": _added("x: 2024-02-30"),
    "a date out of range": _added("x: 0001-01-01T00:00:00+14:00"),
    "a moment that UTC does not have": _with(economics={"hosting_since": "9999-12-31T23:59:59-14:00"}),
    "an integer of 5,000 digits": _added("x: " + "9" * 5000),
    "a number of 100,000 digits": _added("x: 1." + "9" * 100_000),
    "a number in sixties": _added("x: 1" + ":59" * 20_000),
    "deep YAML": _added("x: " + "[" * 10_000 + "]" * 10_000),
    "deep YAML that is never closed": _added("x: " + "[" * 10_000),
    "deep blocks": _added("x:\n" + "".join(" " * (n + 1) + "a:\n" for n in range(1000))),
    "a deep mapping": _alone("a: " + "{a: " * 3000),
    "aliases of aliases": _added(_aliases(9, merge=False)),
    "aliases of aliases where a list is wanted": _added(_aliases(9, merge=False) + "\nmodels: *x8"),
    "merged aliases of aliases": _added(_aliases(40, merge=True)),
    "a mapping that holds itself": _alone("&a {server: *a}"),
    "a list that holds itself": _alone("&a [*a]"),
    "an alias of nothing": _added("x: *nobody"),
    "a key given twice": _added("server: {port: 0}"),
    "a key given twice inside": _added("admin: {key_env: A, key_env: B}"),
    "a key that is a list": _added("? [a]\n: 1"),
    "a key that is a number": _added("1: 2"),
    "a Python object": _added("x: !!python/object/apply:os.getcwd []"),
    "a tag that does not fit": _added("x: !!timestamp x"),
    "another tag that does not fit": _added("x: !!bool x"),
    "an empty number": _added("x: !!int ''"),
    "binary that is none": _added("x: !!binary '*'"),
    "a character that does not exist": _added('x: "\\UFFFFFFFF"'),
    "two documents": _added("---\na: 1"),
    "another version of YAML": lambda path, good: put(path, "%YAML 9.9\n---\n" + _yaml(good)),
    "a NUL": _added("x: \0"),
    "a NUL in a path": _with(routing={"artifact": "a\0b"}),
    "half a character in a name": _added('models: [{name: "\\ud800", base_url: "http://h/v1"}]'),
    "not UTF-8": lambda path, good: put(path, _yaml(good).encode() + b"# \xe9\n"),
    "UTF-16": lambda path, good: put(path, _yaml(good).encode("utf-16")),
    "nothing": _alone(""),
    "a byte-order mark alone": _alone("\ufeff"),
    "text": _alone("hello"),
    "half a file": _half,
    "a file of 40 MB": _alone("# " + "x" * 40_000_000),
    "a thousand wrong entries": _with(models=["a"] * 1000),
    "a port of 99999": _with(models=[{**_MODEL, "base_url": "http://127.0.0.1:99999/v1"}]),
    "a port of 0 at an upstream": _with(models=[{**_MODEL, "base_url": "http://127.0.0.1:0/v1"}]),
    "an address without its bracket": _with(models=[{**_MODEL, "base_url": "http://[::1"}]),
    "an address that is none": _with(models=[{**_MODEL, "base_url": "http://[::g]/v1"}]),
    "an address with a password": _with(models=[{**_MODEL, "base_url": "http://u:secret-canary@h/v1"}]),
    "a proxy with a password": _with(student={"proxy": "http://u:secret-canary@h:1"}),
    "traces with a password": _with(tracing={"otlp_endpoint": "http://u:secret-canary@h:1"}),
    "a key of nothing": _with(
        auth={"keys": [{"name": "a", "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}
    ),
    "an infinite price": _with(economics={"investment_usd": float("inf")}),
    "a threshold that is no number": _with(routing={"threshold": float("nan")}),
    "an investment beyond the ledger": _with(economics={"investment_usd": 10**11}),
    "a timeout of ages": _with(student={"timeouts": {"connect_seconds": 1e308}}),
    "the home of nobody": _with(routing={"artifact": "~nobody-at-all/router"}),
    "no artifact": _with(routing={"artifact": "nowhere"}),
    "an artifact that is a file": _beside("a_file", "x", _with(routing={"artifact": "a_file"})),
    "an artifact of deep metadata": _beside(
        "deep/weights.npz", b"", _beside("deep/metadata.json", "[" * 200_000, _with(routing={"artifact": "deep"}))
    ),
    "no file of prices": _with(teacher={"usd_per_million": None, "prices_file": "nowhere.json"}),
    "deep prices": _priced("[" * 100_000),
    "prices that are no numbers": _priced(_PRICES % "NaN"),
    "infinite prices": _priced(_PRICES % "1e999"),
    "prices not in UTF-8": _priced(b"\xff\xfe"),
    "a pipe as prices": _pipe_beside("pipe", _with(teacher={"usd_per_million": None, "prices_file": "pipe"})),
    "a pipe as certificates": _pipe_beside("pipe", _with(student={"base_url": "https://h/v1", "ca_file": "pipe"})),
    "a deep tokenizer": _beside("t.json", "[" * 100_000, _with(student={"tokenizer": "t.json"})),
    "a scorer that raises": _scorer("raise RuntimeError('secret-canary')"),
    "a scorer that cannot be imported": _scorer("raise ImportError('secret-canary')"),
    "a scorer that exits": _scorer("import sys; sys.exit(3)"),
    "a scorer that interrupts": _scorer("raise KeyboardInterrupt"),
    "a scorer that does not compile": _scorer("def score(:"),
    "a scorer that recurses": _scorer("def f(): f()\nf()"),
    "a folder": _at(lambda path: path.mkdir()),
    "a pipe": _at(os.mkfifo),
    "a device": _at(lambda path: path.symlink_to("/dev/zero")),
    "a link to nothing": _at(lambda path: path.symlink_to("nowhere")),
    "a link to itself": _at(lambda path: path.symlink_to(path.name)),
    "no file": _at(lambda path: None),
    "a ConfigMap that is bad": _swapped_link,
}
# Refused by `check` and by `serve`: what cannot change while the gateway runs.
AT_START: dict[str, Make] = {
    "a host that does not exist": _with(
        server={"host": "no.such.host.invalid"}, auth={"keys": [{"name": "a", "sha256": "1" * 64}]}
    ),
    "a host of another machine": _with(
        server={"host": "192.0.2.1"}, auth={"keys": [{"name": "a", "sha256": "1" * 64}]}
    ),
    "a host that is too long": _with(server={"host": "a" * 300}, auth={"keys": [{"name": "a", "sha256": "1" * 64}]}),
    "a port of its own of 99999": _with(server={"port": 99999}),
    "no workers": _with(server={"workers": 0}),
    "a database that is a folder": _beside("db/x", "", _with(ledger={"url": "sqlite:///db"})),
    "a database that is none": _beside("text.db", "hello" * 1000, _with(ledger={"url": "sqlite:///text.db"})),
    "a database in no folder": _with(ledger={"url": "sqlite:///no/where/l.db"}),
    "a database of another kind": _with(ledger={"url": "mysql://u:secret-canary@h/x"}),
    "a database without a driver": _with(ledger={"url": "postgresql+nothing://u:secret-canary@h/x"}),
    "a password that is not encoded": _with(ledger={"url": "postgresql+psycopg://u:secret@canary@127.0.0.1:1/x"}),
    "a journal that is a file": _beside("jf", "x", _with(ledger={"journal": "jf"})),
    "a journal below a file": _beside("jf", "x", _with(ledger={"journal": "jf/deeper"})),
    "days to keep beyond the calendar": _with(ledger={"keep_prompts_days": 10**15}),
}
