"""The state of an answer."""

from __future__ import annotations

import pytest

from breakeven.gateway.accounting.usage import Usage
from breakeven.models.client.chat import Reply
from breakeven.models.data.dataset import state_of

REPLY = Reply("Paris.", None, "stop", Usage(10, 4, 5, True), 0.25, "big", None)


@pytest.mark.parametrize(
    ("text", "finish", "state"),
    [
        ("Your parcel is on its way.", "stop", "ok"),
        ("I'm sorry to hear that your parcel is late. It left on Monday.", "stop", "ok"),
        ("I’m sorry, but I can’t help with that.", "stop", "refused"),
        ("I cannot assist with this request.", "stop", "refused"),
        ("As an AI language model, I have no opinion.", "stop", "refused"),
        ("I can't wait to help! Here is how.", "stop", "ok"),
        ("anything", "content_filter", "refused"),
        ("Your parcel is", "length", "truncated"),
        (" \n", "stop", "empty"),
    ],
)
def test_the_state_of_an_answer_is_recognised(text: str, finish: str, state: str) -> None:
    assert state_of(REPLY._replace(text=text, finish_reason=finish)) == state
