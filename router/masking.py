"""Hiding passwords in what is printed, logged or answered: of URLs, wherever they stand in a text."""

from __future__ import annotations

import re

_HIDDEN = "***"
# A password of HTTP ends before the path; one of a database may have a slash, and is kept from having white space.
_IN_HTTP = re.compile(r"((?:https?|wss?|socks\w*)://)(?:([^\s/?#@:]*):[^\s/?#]*|[^\s/?#]+)@", re.IGNORECASE)
_IN_OTHERS = re.compile(r"(?!https?:|wss?:|socks\w*:)(\b[a-z][a-z0-9+.-]*://)([^\s/?#@:]*):\S*@", re.IGNORECASE)
_IN_QUERY = re.compile(
    r"([?&;][\w.-]*(?:password|passwd|pwd|passphrase|secret|token|key|signature|sig|auth)=)[^&;\s'\"]+", re.IGNORECASE
)


def masked(text: str) -> str:
    """The text with `***` in the place of each password, and of each secret parameter, of the URLs in it."""
    if "://" not in text:
        return text
    text = _IN_HTTP.sub(_without_password, text)
    text = _IN_OTHERS.sub(_without_password, text)
    return _IN_QUERY.sub(rf"\1{_HIDDEN}", text)


def _without_password(found: re.Match[str]) -> str:
    user = found[2]
    return f"{found[1]}{_HIDDEN}@" if user is None else f"{found[1]}{user}:{_HIDDEN}@"
