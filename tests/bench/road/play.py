"""One run: requests are drawn, routed by what is in force, compared with the real probabilities, and the real state
machine moves the stages.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakeven.gateway.road import machine
from breakeven.gateway.road.machine import Seen, Settings
from breakeven.gateway.road.promise import error_of_look
from breakeven.gateway.road.stages import Direction, Rates, Stage, State
from tests.bench.road.learners import Compared, Learner, Router
from tests.bench.road.source import Array, Source

CONFIDENCE = 0.95
FIRST_LOOK = 300
SAMPLE = 0.02
# Requests between two rounds of the watch; a real one is every two seconds.
_ROUND = 50
_MICROSECONDS = 1_000_000
# Rows that were never compared, with fewer of which the best share in hindsight is measured on all rows.
_FRESH = 300


class Live(NamedTuple):
    """What went live at a request: after how many comparisons, the share that it gives to the student, and the quality
    that it keeps of all rows of each part of the source that is played then.
    """

    request: int
    comparisons: int
    share: float
    kept: float
    promised: float


class Run(NamedTuple):
    """What happened in a run.

    For each request (n,): whether the student answered it, whether the teacher was asked as well to compare it, and the
    scores of both answers. `live`: what went live, in order; `stages`: the requests at which a stage began, with its
    name and reason; `hindsight`: the largest share that the student could have been given all the time under the floor
    with the best of the routers that were learned, on rows that none of them knows; `looks`: the comparisons of each.
    """

    by_student: NDArray[np.bool_]
    paid_twice: NDArray[np.bool_]
    student: Array
    teacher: Array
    live: list[Live]
    stages: list[tuple[int, str, str]]
    hindsight: float
    looks: list[int]

    def cost(self) -> float:
        """The teacher's calls, comparisons included."""
        return float((~self.by_student).sum() + self.paid_twice.sum())


class Player:
    """Plays one workload."""

    def __init__(self, learner: Learner, floor: float, seed: int) -> None:
        self._learner = learner
        self._settings = Settings(True, floor, CONFIDENCE, FIRST_LOOK, SAMPLE)
        self._base = Rates(1.0, SAMPLE)
        self._rng = np.random.default_rng(seed)
        self._state = State("default", student="student", teacher="teacher", rates=self._base)
        self._routers: dict[str, Router] = {}
        self._rows: list[int] = []
        self._seen: list[Seen] = []
        self._units: list[str] = []
        self._novelties: list[tuple[int, float]] = []
        self._best: list[Router] = []

    def play(self, source: Source, parts: list[tuple[int, int, int]]) -> Run:
        """`parts`: how many requests are drawn from which rows (first, last) of the source, in order."""
        drawn = np.concatenate([self._rng.integers(low, high, count) for count, low, high in parts])
        chance = self._rng.random(len(drawn))
        ends = np.cumsum([count for count, _, _ in parts])
        by_student, paid_twice = np.zeros(len(drawn), dtype=bool), np.zeros(len(drawn), dtype=bool)
        live: list[Live] = []
        stages: list[tuple[int, str, str]] = []
        looks: list[int] = []
        for at, row in enumerate(drawn.tolist()):
            before = self._state
            router = self._router()
            by_student[at], compared = self._request(source, at, row, chance[at], router)
            paid_twice[at] = compared and by_student[at]
            if at % _ROUND == 0:
                self._watch(at)
            _, low, high = parts[int(np.searchsorted(ends, at, side="right"))]
            if compared and machine.look_due(self._state, len(self._since(self._state.measured_since)), self._settings):
                looks.append(self._look(source, at))
            if self._state.live != before.live and machine.in_force(self._state):
                live.append(self._measured(source, at, slice(low, high)))
            if self._state.stage != before.stage:
                stages.append((at, self._state.stage.value, self._state.why))
        return Run(
            by_student,
            paid_twice,
            source.student[drawn],
            source.teacher[drawn],
            live,
            stages,
            self._hindsight(source, parts[0]),
            looks,
        )

    def _router(self) -> Router | None:
        promised = self._state.promised
        return self._routers[promised.artifact] if promised is not None and machine.in_force(self._state) else None

    def _request(self, source: Source, at: int, row: int, chance: float, router: Router | None) -> tuple[bool, bool]:
        """Route one request and compare it by chance; whether the student answered, and whether it was compared."""
        promised, now = self._state.promised, (at + 1) * _MICROSECONDS
        by_student = router is not None and promised is not None and bool(router.scores[row] < promised.threshold)
        rates = self._state.rates or self._base
        rate = rates.student_answered if by_student else rates.teacher_answered
        if router is not None and router.novelty is not None:
            self._novelties.append((now, float(router.novelty[row])))
        if chance >= rate:
            return by_student, False
        direction = Direction.STUDENT_ANSWERED if by_student else Direction.TEACHER_ANSWERED
        self._rows.append(row)
        self._seen.append(Seen(now, float(source.student[row]), float(source.teacher[row]), direction, 1.0 / rate))
        self._units.append(promised.artifact if router is not None and promised is not None else "")
        return by_student, True

    def _since(self, time: int) -> list[int]:
        """The comparisons since a time. They are in order, so that counting from the end is enough."""
        first = len(self._seen)
        while first and self._seen[first - 1].at > time:
            first -= 1
        return list(range(first, len(self._seen)))

    def _watch(self, at: int) -> None:
        state = self._state
        if not machine.in_force(state) or state.promised is None:
            return
        unit = state.promised.artifact
        compared = [self._seen[number] for number in self._since(state.live) if self._units[number] == unit]
        state = machine.watched(state, compared, self._novelties, (at + 1) * _MICROSECONDS)
        self._novelties = []
        rates = machine.wanted_rates(state, self._base, self._settings)
        self._state = msgspec.structs.replace(state, rates=rates)

    def _look(self, source: Source, at: int) -> int:
        state = self._state
        numbers = self._since(state.measured_since)
        compared = [Compared(self._rows[one], self._seen[one].weight, self._units[one]) for one in numbers]
        error = error_of_look(state.looks + 1, CONFIDENCE)
        router = self._learner(source, compared, self._settings.floor, error)
        self._routers[router.learned.artifact] = router
        self._best.append(router)
        now = (at + 1) * _MICROSECONDS
        self._state = machine.after_look(state, router.learned, self._seen[-1].at, None, self._settings, now)
        return len(compared)

    def _hindsight(self, source: Source, part: tuple[int, int, int]) -> float:
        """The largest share under the floor on rows that were never compared, or on all where these are few."""
        _, low, high = part
        fresh = np.setdiff1d(np.arange(low, high), self._rows)
        fresh = fresh if len(fresh) >= _FRESH else np.arange(low, high)
        known = Source("", [], source.student[fresh], source.teacher[fresh])
        shares = [known.largest_share(one.scores[fresh], self._settings.floor) for one in self._best]
        return max(shares, default=0.0)

    def _measured(self, source: Source, at: int, part: slice) -> Live:
        router, promised = self._router(), self._state.promised
        assert router is not None
        assert promised is not None
        given = router.scores[part] < promised.threshold
        now = Source("", [], source.student[part], source.teacher[part])
        return Live(at, promised.comparisons, float(given.mean()), now.kept(given), promised.answered)


def stage_ends(run: Run) -> list[tuple[int, int]]:
    """From which request to which a unit was in force, for each time that one was."""
    found, start = [], None
    for at, stage, _ in run.stages:
        routed = stage in (Stage.ROUTE, Stage.WATCH)
        if routed and start is None:
            start = at
        elif not routed and start is not None:
            found.append((start, at))
            start = None
    return found if start is None else [*found, (start, len(run.by_student))]
