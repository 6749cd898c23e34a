"""Making values of YAML text: bounded in depth and in what aliases stand for, without keys that are given twice.

Values are made of the parser's events at once. PyYAML's own way, over a graph of nodes, takes ten times as long, which
100,000 client keys would make 40 s.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.events import AliasEvent, MappingEndEvent, MappingStartEvent, ScalarEvent, SequenceEndEvent
from yaml.nodes import ScalarNode

# Far beyond what a config needs.
_MAX_DEPTH = 50
_MAX_ALIASED = 100_000
_MAX_DIGITS = 100
# Beside line ends and tabs; and halves of characters, which no encoding has.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_STANDARD = "tag:yaml.org,2002:"
_TEXT = f"{_STANDARD}str"
# What plain texts may be resolved to that are texts here; the key `<<` is looked at as a key.
_TEXTS = (_TEXT, f"{_STANDARD}merge", f"{_STANDARD}value")
# For a text whose value was not made yet.
_UNKNOWN = object()
_SCALARS = frozenset(f"{_STANDARD}{kind}" for kind in ("null", "bool", "int", "float", "binary", "timestamp"))


def values(text: str) -> Any:
    """The value of the only document in a YAML text. Raises yaml.YAMLError, and what Python raises for a value that it
    cannot hold, such as ValueError.
    """
    loader = _Loader(text)
    try:
        return loader.document()
    finally:
        loader.dispose()


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's safe loader, of which the parser (in C where there is one) and the making of scalars are used."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        # Values that were made so far, those that aliases stand for included; and of each anchor its value with the
        # number of values inside it, None while that is being made.
        self._made = 0
        self._aliased = 0
        self._anchored: dict[str, tuple[Any, int] | None] = {}
        # By their text: numbers and words such as true, which one config has again and again.
        self._known: dict[str, Any] = {}

    def document(self) -> Any:
        """The value of the only document; None without one."""
        self.get_event()  # the start of the stream
        if not self.check_event(yaml.DocumentStartEvent):
            return None
        self.get_event()
        found = self._value(self.get_event(), 0)
        self.get_event()  # the end of the document
        if self.check_event(yaml.DocumentStartEvent):
            mark = self.get_event().start_mark
            raise ComposerError("expected a single document in the stream", None, "but found another document", mark)
        return found

    def _value(self, event: Any, depth: int) -> Any:
        if depth >= _MAX_DEPTH:
            raise ComposerError(None, None, f"nested more than {_MAX_DEPTH} deep", event.start_mark)
        if type(event) is AliasEvent:
            return self._aliased_value(event)
        anchor, before = event.anchor, self._made
        self._made += 1
        if anchor is not None:
            if anchor in self._anchored:
                raise ComposerError(None, None, f"the anchor {anchor[:60]} is given twice", event.start_mark)
            self._anchored[anchor] = None
        if type(event) is ScalarEvent:
            found = self._scalar(event)
        else:
            is_mapping = type(event) is MappingStartEvent
            if event.tag not in (None, "!", f"{_STANDARD}map" if is_mapping else f"{_STANDARD}seq"):
                what = "a mapping" if is_mapping else "a list"
                raise ConstructorError(None, None, f"the tag {event.tag[:60]} is none of {what}", event.start_mark)
            found = self._mapping(depth) if is_mapping else self._sequence(depth)
        if anchor is not None:
            self._anchored[anchor] = found, self._made - before
        return found

    def _aliased_value(self, event: Any) -> Any:
        if event.anchor not in self._anchored:
            raise ComposerError(None, None, f"found undefined alias {event.anchor[:60]}", event.start_mark)
        anchored = self._anchored[event.anchor]
        if anchored is None:
            raise ComposerError(None, None, "a value that holds itself", event.start_mark)
        found, count = anchored
        self._made += count
        self._aliased += count
        if self._aliased > _MAX_ALIASED:
            raise ComposerError(None, None, "its aliases stand for too many values", event.start_mark)
        return found

    def _sequence(self, depth: int) -> list[Any]:
        found, next_event = [], self.get_event
        while type(event := next_event()) is not SequenceEndEvent:
            found.append(self._value(event, depth + 1))
        return found

    def _mapping(self, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        merged: dict[Any, Any] | None = None
        next_event, value = self.get_event, self._value
        while type(event := next_event()) is not MappingEndEvent:
            key = value(event, depth + 1)
            of_key = value(next_event(), depth + 1)
            try:
                again = key in found
            except TypeError:
                raise ConstructorError(None, None, "a key that is a list or a mapping", event.start_mark) from None
            if again:
                text = str(getattr(event, "value", key))
                raise ComposerError(None, None, f"the key {text[:60]} is given twice", event.start_mark)
            found[key] = of_key
            if key == "<<" and type(event) is ScalarEvent and event.implicit[0]:
                merged = self._to_merge(of_key, event)
        if merged is None:
            return found
        del found["<<"]
        return {**merged, **found}

    def _to_merge(self, given: Any, event: Any) -> dict[Any, Any]:
        """What the key `<<` adds: of several mappings the earlier ones come first."""
        merged: dict[Any, Any] = {}
        for one in reversed(given if isinstance(given, list) else [given]):
            if not isinstance(one, dict):
                raise ConstructorError(None, None, "<< merges mappings only", event.start_mark)
            merged |= one
        return merged

    def _scalar(self, event: Any) -> Any:
        tag, text = event.tag, event.value
        if tag is None or tag == "!":
            if event.implicit[0]:
                found = self._known.get(text, _UNKNOWN)
                if found is not _UNKNOWN:
                    return found
                # Most texts begin as nothing else does.
                if text[:1] not in self.yaml_implicit_resolvers:
                    return text
                tag = self.resolve(ScalarNode, text, event.implicit)
                found = self._known[text] = text if tag in _TEXTS else self._other(tag, event)
                return found
            tag = _TEXT
        if tag == _TEXT:
            # The parser lets none of these through, but makes them of escapes.
            if _UNPRINTABLE.search(text):
                raise ConstructorError(None, None, "a text with a control character", event.start_mark)
            return text
        return self._other(tag, event)

    def _other(self, tag: str, event: Any) -> Any:
        """The value of a scalar that is no text."""
        if tag in (f"{_STANDARD}int", f"{_STANDARD}float") and len(event.value) > _MAX_DIGITS:
            # It takes Python long to read.
            raise ConstructorError(None, None, f"a number of {len(event.value)} characters", event.start_mark)
        if tag not in _SCALARS:
            raise ConstructorError(None, None, f"the tag {tag[:60]} is not known", event.start_mark)
        return self.yaml_constructors[tag](self, ScalarNode(tag, event.value, event.start_mark, event.end_mark))
