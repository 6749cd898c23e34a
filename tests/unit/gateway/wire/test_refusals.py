"""What is learned from the errors of APIs, in their own words, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from breakeven.gateway.wire.refusals import Refusals, refusal, too_large, too_small

LIMIT = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
TEMPERATURE = (
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported."
)
SENT = {"model": "m", "messages": [], "max_tokens": 5, "temperature": 0, "top_p": 0.5}


def edited(known: Refusals) -> dict[str, Any]:
    body = dict(SENT)
    known.edit(body)
    return body


def test_a_refused_limit_is_renamed_and_a_refused_temperature_left_out() -> None:
    known = Refusals()
    assert edited(known) == SENT
    assert known.learn(400, "max_tokens", LIMIT, SENT)
    assert edited(known) == {"model": "m", "messages": [], "temperature": 0, "top_p": 0.5, "max_completion_tokens": 5}
    assert known.learn(400, None, TEMPERATURE, edited(known))
    assert known.omitted == ["temperature"]
    assert edited(known) == {"model": "m", "messages": [], "top_p": 0.5, "max_completion_tokens": 5}


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("Unrecognized request argument supplied: max_tokens", "max_tokens"),
        (
            "UnsupportedParamsError: gpt-5 models don't support temperature=0. Only temperature=1 is",
            "temperature",
        ),
        ("`temperature` may only be set to 1 when thinking is enabled.", "temperature"),
        ("`temperature` is deprecated for this model.", "temperature"),
        ('[{"type": "extra_forbidden", "loc": ["body", "top_p"], "msg": "Extra inputs are not permitted"}]', "top_p"),
        ("unknown field max_tokens; use max_completion_tokens", "max_tokens"),
    ],
)
def test_apis_say_it_in_different_words(message: str, name: str) -> None:
    known = Refusals()
    assert known.learn(422, None, message, SENT)
    assert name not in edited(known)


@pytest.mark.parametrize(
    ("status", "param", "message"),
    [
        (400, "max_tokens", "max_tokens is too large: 8192. This model supports at most 4096 completion tokens."),
        (400, "temperature", "Invalid 'temperature': decimal above maximum value. Expected a value <= 2."),
        (400, "messages", "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
        (400, None, "The image is not supported."),
        (429, "temperature", TEMPERATURE),
        (500, "temperature", TEMPERATURE),
    ],
)
def test_what_is_no_refusal_of_a_field_is_not_learned(status: int, param: str | None, message: str) -> None:
    known = Refusals()
    assert not known.learn(status, param, message, SENT)
    assert edited(known) == SENT


def test_a_model_that_refuses_both_limits_is_not_asked_for_ever() -> None:
    known = Refusals()
    assert known.learn(400, "max_tokens", "unsupported", SENT)
    assert not known.learn(400, "max_completion_tokens", "unsupported", edited(known))


def test_a_limit_too_large_or_too_small_is_told_from_a_refusal() -> None:
    assert too_large(400, "This model's maximum context length is 4096 tokens, and you requested 8192 output tokens")
    assert too_large(400, "max_tokens is too large: 8192. This model supports at most 4096 completion tokens")
    assert not too_large(400, LIMIT)
    assert too_small(400, "Could not finish the message because max_tokens or model output limit was reached.")
    assert too_small(400, "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 1")
    assert not too_small(400, LIMIT)


def test_the_words_of_an_error_are_found_in_each_shape() -> None:
    whole = {"error": {"message": LIMIT, "param": "max_tokens", "code": "unsupported_parameter"}}
    assert refusal(whole) == ("max_tokens", f"{LIMIT} unsupported_parameter")
    assert refusal({"detail": [{"loc": ["body", "top_p"]}]}) == (None, '[{"loc": ["body", "top_p"]}]')
    assert refusal({"error": "no"}) == (None, "no")
    assert refusal(None) == (None, "")
