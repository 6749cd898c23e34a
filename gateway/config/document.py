"""Reading the config's file as YAML: bounded in size and depth, without keys that are given twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode

from breakeven.gateway.errors import ConfigError
from breakeven.router.files import read_file

# 100,000 client keys take about 12 MB. The other limits are far beyond what a config needs.
_MAX_BYTES = 1 << 25
_MAX_DEPTH = 50
_MAX_ALIASED = 100_000
_MAX_DIGITS = 100
# Beside line ends and tabs; and halves of characters, which no encoding has.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_MERGE = "tag:yaml.org,2002:merge"


def read_document(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds. Raises ConfigError, which names the file and the place in it."""
    try:
        text = read_file(path, _MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 (byte {error.start + 1}); save it in that encoding"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror}); give the config with --config"]) from None
    except ValueError as error:
        raise ConfigError([f"{path}: {error}; give the config with --config"]) from None
    try:
        document = yaml.load(text, _Loader)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(
            [f"{path}: {where}not valid YAML ({getattr(error, 'problem', None) or 'a character'})"]
        ) from None
    except Exception as error:
        # What Python or the YAML reader raise for a value that they cannot hold: a date that is none, an odd tag.
        raise ConfigError([f"{path}: a date or a number in it cannot be read ({short(error)}); correct it"]) from None
    if not isinstance(document, dict):
        raise ConfigError([f"{path}: must be a mapping with at least the key teacher"])
    return document


def short(error: Exception) -> str:
    """What a library said, without the rest of it."""
    return str(error).partition(";")[0][:100] or type(error).__name__


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which refuses what grows far beyond its text, and keys that are given twice."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        # The values inside each node that is being read, those of aliases included; and of nodes that have an anchor.
        self._counts: list[int] = []
        self._anchored: dict[int, int] = {}
        self._aliased = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if len(self._counts) >= _MAX_DEPTH:
            raise ComposerError(None, None, f"nested more than {_MAX_DEPTH} deep", event.start_mark)
        self._counts.append(1)
        found: Node | None = super().compose_node(parent, index)
        count, is_alias = self._counts.pop(), isinstance(event, AliasEvent)
        if is_alias:
            if id(found) not in self._anchored:
                raise ComposerError(None, None, "a value that holds itself", event.start_mark)
            count = self._anchored[id(found)]
            self._aliased += count
            if self._aliased > _MAX_ALIASED:
                raise ComposerError(None, None, "its aliases stand for too many values", event.start_mark)
        elif event.anchor is not None:
            self._anchored[id(found)] = count
        if self._counts:
            self._counts[-1] += count
        return found

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        found: MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in found.value:
            if isinstance(key, ScalarNode) and key.tag != _MERGE:
                if (key.tag, key.value) in seen:
                    mark: Any = key.start_mark
                    raise ComposerError(None, None, f"the key {key.value[:60]} is given twice", mark)
                seen.add((key.tag, key.value))
        return found

    def construct_text(self, node: ScalarNode) -> str:
        """A text, which holds no character that neither a path, a header nor a log line may have."""
        found: str = self.construct_yaml_str(node)
        if _UNPRINTABLE.search(found):
            raise ConstructorError(None, None, "a text with a control character", node.start_mark)
        return found

    def construct_number(self, node: ScalarNode) -> Any:
        """A number, which takes Python long to read where it has thousands of digits."""
        if len(node.value) > _MAX_DIGITS:
            raise ConstructorError(None, None, f"a number of {len(node.value)} characters", node.start_mark)
        whole = node.tag == "tag:yaml.org,2002:int"
        return self.construct_yaml_int(node) if whole else self.construct_yaml_float(node)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)
_Loader.add_constructor("tag:yaml.org,2002:str", _Loader.construct_text)
