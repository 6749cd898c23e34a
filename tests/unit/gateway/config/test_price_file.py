"""Prices read from a file in the format of LiteLLM."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from breakeven.gateway.accounting.prices import cost
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.config.load import load_config
from breakeven.gateway.config.prices import ContextTier, Prices
from breakeven.gateway.errors import ConfigError
from breakeven.gateway.ledger.rates import price_at
from tests.support.processes import BREAKEVEN

FILE = """{
 "sample_spec": {"input_cost_per_token": "what it is"},
 "gpt-4o": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05,
  "cache_read_input_token_cost": 1.25e-06, "input_cost_per_token_priority": 4.25e-06,
  "output_cost_per_token_priority": 1.7e-05, "cache_read_input_token_cost_priority": 2.125e-06,
  "input_cost_per_token_batches": 1.25e-06,
  "search_context_cost_per_query": {"search_context_size_low": 0.03, "search_context_size_medium": 0.035}},
 "gpt-4o-mini": {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07,
  "input_cost_per_token_priority": 2.5e-07, "output_cost_per_token_priority": 1e-06},
 "anthropic/claude": {"input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
  "cache_read_input_token_cost": 3e-07, "cache_creation_input_token_cost": 3.75e-06,
  "cache_creation_input_token_cost_above_1hr": 6e-06,
  "input_cost_per_token_above_200k_tokens": 6e-06, "output_cost_per_token_above_200k_tokens": 2.25e-05,
  "cache_read_input_token_cost_above_200k_tokens": 6e-07, "litellm_provider": "anthropic"},
 "bedrock/claude": {"input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05},
 "azure/sound": {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06,
  "input_cost_per_audio_token": 4e-05, "output_cost_per_audio_token": 8e-05, "litellm_provider": "azure"},
 "openai/sound": {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06,
  "input_cost_per_audio_token": 4e-05, "output_cost_per_audio_token": 8e-05, "litellm_provider": "openai"},
 "long": {"input_cost_per_token": 1e-06, "output_cost_per_token": 4e-06,
  "input_cost_per_token_above_272k_tokens": 2e-06, "output_cost_per_token_above_272k_tokens": 6e-06,
  "input_cost_per_token_above_128k_tokens": 1.5e-06},
 "thirds": {"input_cost_per_token": 3.3333333e-07, "output_cost_per_token": 1e-06},
 "uneven": {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06,
  "input_cost_per_token_flex": 5e-07, "output_cost_per_token_flex": 6e-07},
 "gemini": {"input_cost_per_token": 2e-06, "output_cost_per_token": 1e-05,
  "input_cost_per_token_above_200k_tokens": 4e-06, "cache_creation_input_token_cost_above_200k_tokens": 2.5e-07},
 "thinking": {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06, "output_cost_per_reasoning_token": 3e-06},
 "free": {"input_cost_per_token": 0, "output_cost_per_token": 0, "input_cost_per_token_flex": 1e-06},
 "vercel/openai/gpt-4o": {"input_cost_per_token": 9e-06, "output_cost_per_token": 9e-06},
 "image": {"output_cost_per_image": 0.04}
}"""


def config(folder: Path, model: str, **changes: object) -> Path:
    teacher = {"base_url": "https://api.example.com/v1", "model": model, "prices_file": "prices.json", **changes}
    (folder / "prices.json").write_text(FILE)
    path = folder / "breakeven.yaml"
    student = {"base_url": "http://127.0.0.1:8000/v1", "model": "small"}
    path.write_text(yaml.safe_dump({"student": student, "teacher": teacher}))
    return path


def prices(folder: Path, model: str) -> Prices:
    return load_config(config(folder, model)).teacher.usd_per_million


def fault(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert len(caught.value.faults) == 1
    return caught.value.faults[0]


@pytest.mark.parametrize("model", ["gpt-4o", "openai/gpt-4o"])
def test_prices_tiers_and_searches(tmp_path: Path, model: str) -> None:
    assert prices(tmp_path, model) == Prices(
        input=Decimal("2.5"),
        cached_input=Decimal("1.25"),
        output=Decimal(10),
        service_tiers={"flex": Decimal("0.5"), "priority": Decimal("1.7")},
        usd_per_web_search=Decimal("0.035"),
    )


def test_cache_writes_and_long_prompts(tmp_path: Path) -> None:
    found = prices(tmp_path, "anthropic/claude")
    assert (found.cached_input, found.cache_write, found.cache_write_1h) == (Decimal("0.3"), Decimal("3.75"), 6)
    assert found.context_tiers == [ContextTier(above_prompt_tokens=200_000, input=Decimal(2), output=Decimal("1.5"))]


def test_tiers_of_two_lengths(tmp_path: Path) -> None:
    assert [(t.above_prompt_tokens, t.input, t.output) for t in prices(tmp_path, "long").context_tiers] == [
        (128_000, Decimal("1.5"), 1),
        (272_000, 2, Decimal("1.5")),
    ]


def test_a_provider_prefix_in_the_file_and_sound(tmp_path: Path) -> None:
    found = prices(tmp_path, "sound")
    assert (found.audio_input, found.audio_output) == (40, 80)


def test_a_multiplier_of_five_thirds_is_rounded_to_a_millionth(tmp_path: Path) -> None:
    assert prices(tmp_path, "gpt-4o-mini").service_tiers["priority"] == Decimal("1.666667")


def test_what_an_answer_costs(tmp_path: Path) -> None:
    price = price_at(load_config(config(tmp_path, "gpt-4o")), 1)
    assert cost(Usage(120_000, 90_000, 1_000, True), price).total == 197_500_000_000


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("gpt-4", "has no model gpt-4; closest: gpt-4o, gpt-4o-mini"),
        (
            "claude",
            "has several prices for claude (anthropic/claude, bedrock/claude); choose one with teacher.prices_model",
        ),
        ("thirds", "thirds: input_cost_per_token: 0.33333333 USD per million tokens has more than six decimals"),
        ("uneven", "uneven: input_cost_per_token_flex and output_cost_per_token_flex: are different multiples"),
        ("thinking", "thinking: output_cost_per_reasoning_token: differs from output_cost_per_token"),
        ("free", "free: input_cost_per_token_flex: is no multiple of the plain price, which is 0"),
        ("image", "image: input_cost_per_token: missing; the model is not billed by the token"),
        ("sample_spec", "sample_spec: output_cost_per_token: missing"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, model: str, message: str) -> None:
    said = fault(config(tmp_path, model))
    assert said.startswith("teacher.prices_file: ")
    assert message in said


def test_a_tier_of_tokens_without_a_plain_price_is_left_out(tmp_path: Path) -> None:
    tiers = prices(tmp_path, "gemini").context_tiers
    assert tiers == [ContextTier(above_prompt_tokens=200_000, input=Decimal(2), output=Decimal(1))]


def test_a_name_of_its_own_in_the_file(tmp_path: Path) -> None:
    path = config(tmp_path, "my-deployment", prices_model="bedrock/claude")
    assert load_config(path).teacher.usd_per_million.input == 3
    prices = {"input": 1, "output": 1}
    alone = config(tmp_path, "my-deployment", prices_file=None, usd_per_million=prices, prices_model="x")
    assert fault(alone) == "teacher: prices_model names a model in prices_file or prices_package; neither is given"


def test_exactly_one_source_of_prices(tmp_path: Path) -> None:
    both = fault(config(tmp_path, "gpt-4o", usd_per_million={"input": 1, "output": 1}))
    asked = "teacher: give exactly one of usd_per_million, prices_file, prices_package"
    assert both == f"{asked}; usd_per_million and prices_file are given"
    neither = fault(config(tmp_path, "gpt-4o", prices_file=None))
    assert neither == f"{asked}; none of them is given"


@pytest.mark.parametrize(("text", "message"), [("{", "is not valid JSON"), ("[]", "must be a JSON object")])
def test_a_file_that_is_no_list_of_prices(tmp_path: Path, text: str, message: str) -> None:
    path = config(tmp_path, "gpt-4o")
    (tmp_path / "prices.json").write_text(text)
    assert message in fault(path)


def test_a_missing_file(tmp_path: Path) -> None:
    assert "cannot be read (No such file" in fault(config(tmp_path, "gpt-4o", prices_file="none.json"))


def test_check_prints_the_effective_prices(tmp_path: Path) -> None:
    command = [*BREAKEVEN, "check", "--config", str(config(tmp_path, "gpt-4o"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    printed = yaml.safe_load(done.stdout)["teacher"]
    assert (printed["usd_per_million"]["input"], printed["usd_per_million"]["cached_input"]) == ("2.5", "1.25")
    assert not [key for key in printed if key.startswith("prices_")]
    day = datetime.fromtimestamp((tmp_path / "prices.json").stat().st_mtime, UTC)
    assert done.stdout.startswith(f"# The teacher's prices are from prices.json of {day:%Y-%m-%d}: gpt-4o.\n")
