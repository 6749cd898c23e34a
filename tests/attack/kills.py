"""SIGKILLs at random points while gateways stream, are hung up on and fall back: the books are exact every time."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time

from tests.attack.books import CATCH_UP_SECONDS, Load, caught_up, exact
from tests.attack.result import Attack, Result, Setting
from tests.contract.gateway import Gateway, chat
from tests.contract.scripted import DONE, End, Head, ScriptedUpstream, Send, Sleep, delta, error_answer, usage_chunk
from tests.support.postgres import running_postgres

# By default; fewer where the time is up before.
KILLS = 25
HANG_UP, FAIL = "hang up on me", "fail for me"
SSE = {"content-type": "text/event-stream"}


class MixedLoad(Load):
    """Streams and whole answers; some clients hang up after the first event, and some questions the student fails."""

    def __init__(self, gateway: Gateway, clients: int = 4) -> None:
        super().__init__(gateway, clients, body=_body)
        self.hung_up = 0
        self._hanging = threading.Thread(target=self._hang_up)

    def __enter__(self) -> MixedLoad:
        super().__enter__()
        self._hanging.start()
        return self

    def __exit__(self, *arguments: object) -> None:
        super().__exit__(*arguments)
        self._hanging.join()

    def _hang_up(self) -> None:
        body = b'{"model": "auto", "stream": true, "messages": [{"role": "user", "content": "%b"}]}' % HANG_UP.encode()
        while not self._end.wait(0.1):
            # Counted before: what is sent may be booked.
            self.hung_up += 1
            with contextlib.suppress(OSError, EOFError, StopIteration), self.gateway.connect(timeout=5.0) as client:
                client.request("POST", "/v1/chat/completions", body)
                next(client.segments(client.head()[1]))


def _body(number: int) -> dict[str, object]:
    return chat(FAIL if number % 5 == 0 else f"question {number}", stream=number % 2 == 0)


def _scripted(student: ScriptedUpstream, teacher: ScriptedUpstream) -> None:
    events = [Send(delta("a")), Sleep(0.02), Send(delta("b", finish="stop") + usage_chunk() + DONE), End()]
    student.on(FAIL, *error_answer(500))
    for upstream in (student, teacher):
        upstream.on(HANG_UP, Head(200, SSE), Send(delta("a")), Sleep(5.0), *events)


def _killed(name: str, setting: Setting, urls: list[str]) -> Result:
    """Kill one of the gateways on these ledgers, all the same one, over and over; then look at the books."""
    chance, deadline = random.Random(name), time.monotonic() + setting.seconds
    with contextlib.ExitStack() as stack:
        gateways = []
        for index, url in enumerate(urls):
            student, teacher = (stack.enter_context(ScriptedUpstream(one)) for one in ("small", "big"))
            _scripted(student, teacher)
            # SQLite's ledger and journal are shared by the processes of one folder.
            folder = setting.folder if url.startswith("sqlite") else setting.folder / f"gateway-{index}"
            folder.mkdir(exist_ok=True)
            made = Gateway(folder, student, teacher, {"ledger": {"url": url}}, log_level="error")
            made.path, made.log = folder / f"config-{index}.yaml", folder / f"gateway-{index}.log"
            made._arguments[1] = str(made.path)
            stack.callback(made.stop)
            gateways.append(made.start())
        loads = [MixedLoad(one) for one in gateways]
        kills = 0
        with contextlib.ExitStack() as running:
            for load in loads:
                running.enter_context(load)
            while kills < KILLS and (kills < 2 or time.monotonic() < deadline):
                time.sleep(chance.uniform(0.05, 1.0))
                chosen = chance.choice(gateways)
                chosen.signal(signal.SIGKILL)
                chosen.wait()
                kills += 1
                chosen.start()
            for load in loads:
                load.more(10)
        slowest = max(caught_up(one, CATCH_UP_SECONDS) for one in gateways)
        for one in gateways:
            one.stop()
        answered = [id for load in loads for id in load.answered]
        url = urls[0] if urls[0].startswith("postgresql") else f"sqlite:///{setting.folder / 'ledger.db'}"
        # Settled, and killed before the client had it: one for each client at each kill, at most.
        unseen = sum(load.hung_up for load in loads) + kills * 5
        books, figures = exact(url, answered, unseen)
    hung_up = sum(load.hung_up for load in loads)
    figures = {"kills": str(kills), **figures, "hung up": str(hung_up), "caught up after": f"{slowest:.1f} s"}
    return Result(name, books, figures)


def kills_sqlite(setting: Setting) -> Result:
    """One gateway with SQLite."""
    return _killed("kills_sqlite", setting, ["sqlite:///ledger.db"])


def kills_sqlite_three(setting: Setting) -> Result:
    """Three gateways of one machine that share a SQLite ledger and its journal."""
    return _killed("kills_sqlite_three", setting, ["sqlite:///ledger.db"] * 3)


def kills_postgres(setting: Setting) -> Result:
    """One gateway with PostgreSQL."""
    with running_postgres() as server:
        return _killed("kills_postgres", setting, [server.database("ledger")])


def kills_postgres_three(setting: Setting) -> Result:
    """Three gateways with folders of their own and one PostgreSQL."""
    with running_postgres() as server:
        return _killed("kills_postgres_three", setting, [server.database("ledger")] * 3)


ATTACKS: dict[str, Attack] = {
    one.__name__: one for one in (kills_sqlite, kills_sqlite_three, kills_postgres, kills_postgres_three)
}
