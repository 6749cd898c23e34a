"""Which call of a tool a piece of a stream belongs to.

Chat completions number the calls by `index`. Some servers leave it out, some give every call the same, and some repeat
the id of a call in each of its pieces.
"""

from __future__ import annotations


class CallNumbers:
    """Numbers the calls of one stream by their first pieces, from 0."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._indices: dict[int, int] = {}
        # By number, whether the call has an id and a name.
        self._known: list[tuple[bool, bool]] = []

    def of(self, index: object, id: str, name: str) -> int:
        """The number of the call that a piece belongs to; `id` and `name` are empty where the piece has none.

        Another id and a name begin the next call, whatever the index; so does an id without an index, and without both
        a second name.
        """
        number = self._ids.get(id) if id else None
        if number is None:
            number = self._by_index(index, id, name) if isinstance(index, int) else self._next(id, name)
        if number == len(self._known):
            self._known.append((False, False))
        has_id, has_name = self._known[number]
        self._known[number] = has_id or bool(id), has_name or bool(name)
        if id:
            self._ids[id] = number
        if isinstance(index, int):
            self._indices[index] = number
        return number

    def _by_index(self, index: int, id: str, name: str) -> int:
        number = self._indices.get(index)
        if number is None or (id and name and self._known[number][0]):
            return len(self._known)
        return number

    def _next(self, id: str, name: str) -> int:
        begins = id or not self._known or (name and self._known[-1][1])
        return len(self._known) if begins else len(self._known) - 1
