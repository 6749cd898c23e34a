"""What the student and the teacher's providers can do: as the config declares it, and no more than the student's server
reports.
"""

from __future__ import annotations

import functools

from breakeven.gateway.config.student import Student
from breakeven.gateway.config.teacher import Fallback
from breakeven.gateway.upstreams.reported import Reported
from breakeven.router.policy import Capabilities
from breakeven.router.text import Conversation


def declared(student: Student) -> Capabilities:
    """The capabilities of a student by its section of the config."""
    return Capabilities(
        modalities=frozenset(student.modalities),
        tools=student.tools,
        context_window=student.context_window,
        outputs=frozenset(student.output_modalities),
        tool_types=frozenset(student.tool_types),
        background=student.background,
    )


@functools.lru_cache(maxsize=16)
def limited(capabilities: Capabilities, reported: Reported | None) -> Capabilities:
    """The capabilities without what the server reports that it has not; what it does not report is believed."""
    if reported is None:
        return capabilities
    windows = [one for one in (capabilities.context_window, reported.context_window) if one is not None]
    modalities = capabilities.modalities
    if reported.modalities is not None:
        modalities &= reported.modalities | {"text"}
    return capabilities._replace(context_window=min(windows, default=None), modalities=modalities)


def takes(fallback: Fallback, seen: Conversation, max_output_tokens: int | None) -> bool:
    """Whether a provider of the teacher can take a request, by what its section of the config declares.

    `max_output_tokens` is the request's limit, None where it has none.
    """
    if fallback.modalities is not None and not seen.modalities <= {"text", *fallback.modalities}:
        return False
    if fallback.output_modalities is not None and not seen.outputs <= {*fallback.output_modalities}:
        return False
    if seen.tools and not fallback.tools:
        return False
    if fallback.tool_types is not None and not seen.tool_types <= {*fallback.tool_types}:
        return False
    window = fallback.context_window
    return window is None or seen.tokens + (max_output_tokens or 0) <= window


def contradictions(capabilities: Capabilities, reported: Reported) -> list[str]:
    """What the config declares and the server denies, a sentence for each."""
    found = []
    window, most = capabilities.context_window, reported.context_window
    if window is not None and most is not None and window > most:
        found.append(f"student.context_window is {window}, but the student's server takes {most} tokens; using {most}")
    if reported.modalities is not None:
        missing = ", ".join(sorted(capabilities.modalities - reported.modalities - {"text"}))
        if missing:
            found.append(f"student.modalities has {missing}, which the student's server does not read; not using it")
    return found
