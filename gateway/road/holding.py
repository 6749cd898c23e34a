"""What holds a workload in its stage now, told anew in each round, so that the text goes with its cause."""

from __future__ import annotations

from typing import NamedTuple

from breakeven.gateway.road.machine import in_force
from breakeven.gateway.road.stages import State


class Facts(NamedTuple):
    """What is known of a workload beside its state.

    `operator`: the config or the admin API says what routes. `loaded`: the router of what is in force can be used here.
    `sampled`: requests are compared at all. `unjudged`: what is to be said of comparisons without a verdict, None for
    nothing. `obstacle`: what keeps a router from being trained although there are comparisons enough; None: nothing,
    or it is not time for one.
    """

    operator: bool = False
    loaded: bool = True
    sampled: bool = True
    unjudged: str | None = None
    obstacle: str | None = None


def holding(state: State, facts: Facts) -> str:
    """What holds the workload, for people: of several causes the one that matters most; empty for none."""
    if facts.operator:
        return ""
    live = in_force(state)
    if live and not facts.loaded:
        return "its router cannot be loaded, see the log: the teacher answers; roll back"
    if not facts.sampled:
        left = "nobody watches the floor" if live else "no router can be trained"
        return f"road.sample is 0: nothing is compared, so that {left}"
    if live and facts.unjudged is not None:
        return f"the floor may not be watched: {facts.unjudged}"
    return facts.obstacle or state.unproven
