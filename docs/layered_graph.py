"""A layered drawing of a directed graph without circles, as SVG: every arrow points down.

The method is Sugiyama's: layers by the longest way to the bottom, bends for arrows that skip layers, the order within
a layer by the mean of the neighbours, and positions by least squares with a least distance. No dependency, and the same
graph always gives the same bytes, so that a test can compare the committed file with what this gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape

NODE_WIDTH, NODE_HEIGHT, LAYER_HEIGHT, GAP, BEND_WIDTH, MARGIN = 118, 30, 62, 16, 10, 12
_ROUNDS = 24
_STYLE = (
    "text{font:15px system-ui,sans-serif;fill:#1c2733;text-anchor:middle}"
    ".note{font-size:12px;text-anchor:start;fill:#4a5866}"
    "path{fill:none;stroke:#7b8894;stroke-width:1.2}rect{stroke:#7b8894;stroke-width:1}.page{fill:#fff;stroke:none}"
)
Edge = tuple[str, str]


@dataclass
class _Point:
    """A node, or the bend (`name` is None) of an arrow in a layer that it passes."""

    name: str | None
    group: int
    x: float = 0.0
    above: list[_Point] = field(default_factory=list)
    below: list[_Point] = field(default_factory=list)

    @property
    def width(self) -> int:
        return BEND_WIDTH if self.name is None else NODE_WIDTH


def reduced(edges: Iterable[Edge]) -> list[Edge]:
    """The edges without those that follow from a longer way."""
    below: dict[str, set[str]] = {}
    for one, other in edges:
        below.setdefault(one, set()).add(other)

    @cache
    def reached(name: str) -> frozenset[str]:
        return frozenset(below.get(name, ())).union(*(reached(target) for target in below.get(name, ())))

    return sorted(
        (one, other)
        for one, targets in below.items()
        for other in targets
        if not any(other in reached(target) for target in targets)
    )


def heights(names: Iterable[str], edges: Iterable[Edge]) -> dict[str, int]:
    """Node -> the length of its longest way down; 0 for a node that imports nothing."""
    below: dict[str, list[str]] = {}
    for one, other in edges:
        below.setdefault(one, []).append(other)

    @cache
    def height(name: str) -> int:
        return max((height(target) + 1 for target in below.get(name, ())), default=0)

    return {name: height(name) for name in names}


def svg(groups: Mapping[str, Sequence[str]], edges: Sequence[Edge], colours: Mapping[str, str], title: str) -> str:
    """The drawing. `groups` are the nodes by group; a node's label is what follows the last dot of its name.

    `colours` gives each group a fill; `title` is the text for those who do not see the picture.
    """
    layers = _layers(groups, edges)
    _place(layers)
    left = min(point.x - point.width / 2 for layer in layers for point in layer) - MARGIN
    right = max(point.x + point.width / 2 for layer in layers for point in layer) + MARGIN
    width, height = round(right - left), len(layers) * LAYER_HEIGHT + 36
    names = list(groups)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" style="fill:#7b8894;stroke:none"/></marker></defs>',
        f'<rect class="page" width="{width}" height="{height}"/>',
    ]
    boxes = []
    for row, layer in enumerate(layers):
        top = MARGIN + row * LAYER_HEIGHT
        for point in layer:
            x = point.x - left
            if point.name is not None:
                colour, label = colours[names[point.group]], point.name.rpartition(".")[2]
                boxes.append(
                    f'<rect x="{x - NODE_WIDTH / 2:.0f}" y="{top}" width="{NODE_WIDTH}" height="{NODE_HEIGHT}" rx="5" '
                    f'fill="{colour}"/><text x="{x:.0f}" y="{top + 20}">{escape(label)}</text>'
                )
                lines += [_arrow(x, top + NODE_HEIGHT, row, point, start, left) for start in point.below]
    lines += boxes
    x = MARGIN
    for name in names:
        lines.append(f'<rect x="{x}" y="{height - 26}" width="14" height="14" rx="3" fill="{colours[name]}"/>')
        lines.append(f'<text class="note" x="{x + 20}" y="{height - 14}">{escape(name)}/</text>')
        x += 110
    return "\n".join([*lines, "</svg>"]) + "\n"


def _arrow(x: float, y: int, row: int, start: _Point, onward: _Point, left: float) -> str:
    """The path of one arrow: from a node through its bends to the node where it ends."""
    path = [f"M{x:.0f} {y}"]
    before, point = start, onward
    while True:
        row += 1
        top = MARGIN + row * LAYER_HEIGHT
        here, middle = point.x - left, (y + top) // 2
        path.append(f"C{before.x - left:.0f} {middle} {here:.0f} {middle} {here:.0f} {top - 1}")
        if point.name is not None:
            return f'<path d="{"".join(path)}" marker-end="url(#tip)"/>'
        y = top + NODE_HEIGHT
        path.append(f"V{y}")
        before, point = point, point.below[0]


def _layers(groups: Mapping[str, Sequence[str]], edges: Sequence[Edge]) -> list[list[_Point]]:
    """The points from the top layer to the bottom one, joined along the arrows."""
    group = {name: index for index, names in enumerate(groups.values()) for name in names}
    height = heights(group, edges)
    top = max(height.values())
    layers: list[list[_Point]] = [[] for _ in range(top + 1)]
    points = {name: _Point(name, group[name]) for name in group}
    for name, point in points.items():
        layers[top - height[name]].append(point)
    for one, other in edges:
        before = points[one]
        for level in range(height[one] - 1, height[other], -1):
            bend = _Point(None, group[one])
            before.below.append(bend)
            bend.above.append(before)
            layers[top - level].append(bend)
            before = bend
        before.below.append(points[other])
        points[other].above.append(before)
    return layers


def _place(layers: list[list[_Point]]) -> None:
    for layer in layers:
        layer.sort(key=lambda point: point.group)
        _spread(layer, [float(place * (NODE_WIDTH + GAP)) for place in range(len(layer))])
    for number in range(_ROUNDS):
        down = number % 2 == 0
        for layer in layers if down else reversed(layers):
            wanted = []
            for point in layer:
                near = (point.above if down else point.below) or [*point.above, *point.below] or layer
                wanted.append(sum(other.x for other in near) / len(near))
            if number < _ROUNDS * 2 // 3:
                order = sorted(range(len(layer)), key=lambda i: (layer[i].group, wanted[i], i))
                layer[:], wanted = [layer[i] for i in order], [wanted[i] for i in order]
            _spread(layer, wanted)


def _spread(layer: list[_Point], wanted: list[float]) -> None:
    """Put the points of a layer near where they want to be, in their order and apart (pool adjacent violators)."""
    offsets, offset = [], 0.0
    for index, point in enumerate(layer):
        if index:
            offset += (layer[index - 1].width + point.width) / 2 + GAP
        offsets.append(offset)
    pools: list[list[float]] = []
    for place, offset in zip(wanted, offsets, strict=True):
        pools.append([place - offset])
        while len(pools) > 1 and _mean(pools[-2]) > _mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    spots = [_mean(pool) for pool in pools for _ in pool]
    for point, spot, offset in zip(layer, spots, offsets, strict=True):
        point.x = spot + offset


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
