"""Learning what the student's server says that its model can do, and again after a restart with another window."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from breakeven.gateway.policy.capabilities import contradictions, declared
from breakeven.gateway.runtime.services import Services
from breakeven.router.policy import Route

_log = logging.getLogger("breakeven.reload")

_POLL_SECONDS = 1.0


async def learn_capabilities(services: Callable[[], Services]) -> None:
    """Until cancelled: ask the student's server what its model can do, while that is not known, every minute, and soon
    after a failure that a restart may have caused. What the config declares and the server denies is logged. Any server
    that may speak the Messages API is asked whether it does.
    """
    while True:
        now = services()
        student, section = now.upstreams.get(Route.STUDENT), now.config.student
        if student is not None and section is not None and student.learning.due:
            before = student.reported
            student.reported = student.learning.learned(await student.fetch_reported(), before)
            if student.reported is not None and student.reported != before:
                for sentence in contradictions(declared(section), student.reported):
                    _log.warning("%s", sentence)
                if before is not None and student.reported.context_window != before.context_window:
                    _log.warning(
                        "the student's context window is %s tokens now, and was %s",
                        student.reported.context_window or "an unknown number of",
                        before.context_window or "not known",
                    )
        for upstream in now.every_upstream.values():
            if upstream is not student or student.reported is not None:
                await upstream.find_messages()
        await asyncio.sleep(_POLL_SECONDS)
