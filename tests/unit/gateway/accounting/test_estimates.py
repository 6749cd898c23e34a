"""Tokens that no usage reported, estimated with ratios measured on the complete answers of the same upstream."""

from __future__ import annotations

from breakeven.gateway.accounting.estimates import Estimate, TokenRatios
from breakeven.gateway.accounting.usage import NO_USAGE, Usage


def usage(output: int, prompt: int = 40) -> Usage:
    return Usage(prompt, 0, output, complete=True)


def test_before_anything_was_measured_an_event_is_a_token_and_so_are_four_characters() -> None:
    ratios = TokenRatios()
    assert ratios.estimate(NO_USAGE, counted=12, events=300) == Estimate(12, 300)
    assert ratios.estimate(NO_USAGE, counted=12, events=0, characters=400) == Estimate(12, 100)


def test_ratios_of_events_characters_and_prompts() -> None:
    ratios = TokenRatios()
    ratios.observe(usage(200), counted=10, events=100, characters=600)
    assert ratios.estimate(NO_USAGE, counted=20, events=30) == Estimate(80, 60)
    assert ratios.estimate(NO_USAGE, counted=20, events=30, characters=90) == Estimate(80, 30)


def test_only_what_is_missing_is_estimated() -> None:
    partly = Usage(7, 0, 0, complete=False)
    assert TokenRatios().estimate(partly, counted=20, events=30) == Estimate(0, 30)


def test_events_are_used_where_nearly_each_is_a_token_and_characters_where_they_are_longer() -> None:
    fine, coarse = TokenRatios(), TokenRatios()
    fine.observe(usage(101), counted=10, events=102, characters=400)
    coarse.observe(usage(100), counted=10, events=5, characters=400)
    assert not fine.by_characters
    assert coarse.by_characters


def test_events_are_used_until_characters_were_measured() -> None:
    ratios = TokenRatios()
    ratios.observe(usage(100), counted=10, events=5)
    assert not ratios.by_characters


def test_the_text_of_the_first_answers_and_then_of_one_in_256_is_measured() -> None:
    ratios, sampled = TokenRatios(), []
    for _ in range(600):
        sampled.append(ratios.samples_text)
        ratios.observe(usage(1), counted=1, events=1)
    assert [number for number, one in enumerate(sampled) if one] == [*range(16), 256, 512]


def test_old_answers_fade() -> None:
    ratios = TokenRatios()
    ratios.observe(usage(1 << 20), counted=1, events=1 << 20)
    for _ in range(40):
        ratios.observe(usage(400_000), counted=1, events=100_000)
    assert ratios.estimate(NO_USAGE, counted=1, events=100).output > 390
