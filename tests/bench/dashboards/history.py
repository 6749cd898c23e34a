"""Play weeks of traffic through a real gateway in simulated time, and write down what a Prometheus would have scraped.

The gateway's processes read the time from a file (`tests/support/clock.py`), so that weeks take minutes. Half an hour
passes between two scrapes; in the last hours, in which there are also failures, a minute.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import httpx2
import yaml

from tests.bench.dashboards import traffic
from tests.support import processes
from tests.support.clock import Clock

INSTANCE = 'instance="gateway:8080",job="breakeven"'
PAUSE = datetime.timedelta(minutes=30)
SHORT_PAUSE = datetime.timedelta(minutes=1)
# There are so many times as many requests in the hours that are looked at closely.
_TIMES = 4
_CATCH_UP_SECONDS = 120.0
_OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0"}


class Story(NamedTuple):
    """When it ends and what happens: `days` in all, the last `hours` of them in detail; `a_day` requests a day; the
    candidate is there from `candidate_day` on, and promoted a week later where it is better.
    """

    end: datetime.datetime = datetime.datetime(2026, 11, 27, 16, 55, tzinfo=datetime.UTC)
    days: int = 21
    hours: int = 6
    a_day: float = 190.0
    candidate_day: int = 12
    seed: int = 5

    @property
    def begin(self) -> datetime.datetime:
        """Midnight of the first day."""
        return (self.end - datetime.timedelta(days=self.days)).replace(hour=0, minute=0)

    @property
    def detailed(self) -> datetime.datetime:
        """From when on it is played in detail."""
        return self.end - datetime.timedelta(hours=self.hours)


class _Upstreams:
    """The replay servers, which can be down for a while."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, contextlib.ExitStack] = {}
        self.urls: dict[str, str] = {}

    def start(self, side: str) -> None:
        """Start one, at the port that it had before."""
        port = self.urls[side].split(":")[2].split("/")[0] if side in self.urls else "0"
        speed = {"student": "160", "candidate": "160", "teacher": "80"}[side]
        model = traffic.MODELS[side]
        (self._folder / f"{model}.port").unlink(missing_ok=True)
        stack = self._running[side] = contextlib.ExitStack()
        options = ("--port", port, "--speed", speed)
        self.urls[side] = stack.enter_context(processes.replay(self._folder, model, traffic.rows_of(side), *options))

    def stop(self, side: str) -> None:
        """Stop one that runs."""
        self._running.pop(side).close()

    def close(self) -> None:
        """Stop all of them."""
        for side in list(self._running):
            self.stop(side)


def play(folder: Path, out: Path, story: Story, say: Callable[[str], None] = print) -> None:
    """Play the story with the files of all processes in `folder`; what was scraped is then in `out` as OpenMetrics."""
    upstreams, clock = _Upstreams(folder), Clock(folder, story.begin)
    with contextlib.closing(upstreams), out.open("w") as scraped:
        for side in ("student", "candidate", "teacher"):
            upstreams.start(side)
        config = traffic.config(upstreams.urls, story.begin)
        env = {**clock.env, "BREAKEVEN_ADMIN_KEY": traffic.ADMIN_KEY}
        with processes.gateway(folder, config, env) as gateway:
            _Player(gateway, clock, upstreams, scraped, config, say).play(story)
        scraped.write("# EOF\n")


class _Player:
    def __init__(
        self, gateway: processes.Gateway, clock: Clock, upstreams: _Upstreams, scraped: TextIO, config: dict[str, Any],
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._gateway, self._clock, self._upstreams, self._scraped = gateway, clock, upstreams, scraped
        self._config, self._say = config, say
        self._client = httpx2.Client(base_url=gateway.url, timeout=30.0)
        self._stages: dict[str, str] = {}

    def play(self, story: Story) -> None:
        """Play all of it."""
        events = list(self._events(story))
        minutes, busy = (traffic.requests(story.seed, times * story.a_day) for times in (1, _TIMES))
        now = story.begin
        with self._client, ThreadPoolExecutor(8) as pool:
            while now < story.end:
                self._clock.set(now)
                for happens in [happens for at, happens in events if at <= now]:
                    happens()
                events = [(at, happens) for at, happens in events if at > now]
                detailed = now >= story.detailed
                pause = SHORT_PAUSE if detailed else PAUSE
                for _ in range(int(pause.total_seconds()) // 60):
                    # Both go on, so that each knows the hour of the day.
                    few, many = next(minutes), next(busy)
                    list(pool.map(self._ask, many if detailed else few))
                if now.minute == 0:
                    self._catch_up()
                self._scrape(now)
                if now.hour == now.minute == 0:
                    self._say(f"{now:%d %B}: {self._stages}")
                now += pause

    def _ask(self, asked: traffic.Asked) -> None:
        headers = {"authorization": f"Bearer {traffic.secret(asked.key)}", "x-breakeven-workload": asked.workload}
        body = {"model": "auto", "messages": [{"role": "user", "content": asked.row.prompt}], "stream": True}
        with contextlib.suppress(httpx2.HTTPError):
            self._client.post("/v1/chat/completions", json=body, headers=headers)

    def _catch_up(self) -> None:
        """Wait while a workload has enough comparisons for a look at them: in real time it would have been there."""
        end = time.monotonic() + _CATCH_UP_SECONDS
        while time.monotonic() < end:
            road = self._admin("/admin/road")["workloads"]
            self._stages = {one["workload"]: one["stage"] for one in road}
            if all(one["comparisons"] < one["next_look_at"] for one in road if one["stage"] == "observe"):
                return
            time.sleep(0.2)

    def _admin(self, path: str) -> dict[str, Any]:
        answer = self._client.get(path, headers={"authorization": f"Bearer {traffic.ADMIN_KEY}"})
        answer.raise_for_status()
        return dict(answer.json())

    def _scrape(self, now: datetime.datetime) -> None:
        text = self._client.get("/metrics", headers=_OPENMETRICS).text
        self._scraped.writelines(stamped(text, now.timestamp()))
        self._scraped.write(f"up{{{INSTANCE}}} 1 {now.timestamp()}\n")

    def _events(self, story: Story) -> Iterator[tuple[datetime.datetime, Callable[[], None]]]:
        """What happens when: a candidate, a threshold, a wrong config, and upstreams that are down."""
        day, minute = datetime.timedelta(days=1), datetime.timedelta(minutes=1)
        tried = {**self._config, "candidate": traffic.candidate(self._upstreams.urls["candidate"])}
        yield story.begin + story.candidate_day * day, lambda: self._configure(tried)
        yield story.begin + (story.candidate_day + 7) * day, self._promote
        wrong = {**tried, "road": {**tried["road"], "sampel": 0.2}}
        late = story.detailed
        yield late + 60 * minute, lambda: self._configure(wrong, valid=False)
        yield late + 75 * minute, lambda: self._configure(tried)
        for side in ("student", "candidate"):
            yield late + 150 * minute, functools.partial(self._upstreams.stop, side)
            yield late + 175 * minute, functools.partial(self._upstreams.start, side)
        yield late + 165 * minute, functools.partial(self._upstreams.stop, "teacher")
        yield late + 170 * minute, functools.partial(self._upstreams.start, "teacher")

    def _promote(self) -> None:
        """Make the candidate the student, if it is shown to be better, and wait until it is."""
        headers = {"authorization": f"Bearer {traffic.ADMIN_KEY}"}
        said = self._client.post("/admin/candidate/promote", headers=headers)
        self._say(f"promotion of the candidate: {said.status_code}")
        time.sleep(2.5)

    def _configure(self, config: dict[str, Any], *, valid: bool = True) -> None:
        """Write the config, and wait until the gateway has read it."""
        self._gateway.config.write_text(yaml.safe_dump(config))
        end = time.monotonic() + 30.0
        while time.monotonic() < end:
            if self._gateway.metrics()["breakeven_config_last_reload_successful"] == float(valid):
                # A valid one after a valid one does not show.
                time.sleep(2.5)
                return
            time.sleep(0.1)


def stamped(text: str, at: float) -> Iterator[str]:
    """The samples of an exposition with the time `at` and the labels that a scrape adds, a line each."""
    for line in text.splitlines():
        found = re.match(r"(breakeven_\w+)(?:\{(.*)\})? (\S+)", line)
        if found and not found[1].endswith("_created"):
            labels = ",".join(filter(None, (found[2], INSTANCE)))
            yield f"{found[1]}{{{labels}}} {found[3]} {at:.0f}\n"
