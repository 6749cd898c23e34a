"""The ordered rules that end in a route and a reason."""

from __future__ import annotations

from enum import StrEnum


class Route(StrEnum):
    """Which upstream."""

    STUDENT = "student"
    TEACHER = "teacher"

    @property
    def other(self) -> Route:
        """The other upstream."""
        return Route.TEACHER if self is Route.STUDENT else Route.STUDENT


class Reason(StrEnum):
    """Why a route was chosen, in the order of the rules; the last three come after a decision."""

    PINNED = "pinned"
    MODALITY = "modality"
    TOOLS = "tools"
    CONTEXT = "context"
    UNAVAILABLE = "unavailable"
    STICKY = "sticky"
    NOVEL = "novel"
    DIFFICULT = "difficult"
    EASY = "easy"
    FALLBACK = "fallback"
    ESCALATED = "escalated"
    ROUTER_ERROR = "router_error"
