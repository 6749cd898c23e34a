"""Prices read from the installed package genai-prices, and from prices of its classes that it does not have."""

from __future__ import annotations

import datetime
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import pytest
import yaml
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from breakeven.gateway.config.load import load_config
from breakeven.gateway.config.price_package import Wanted, read_package
from breakeven.gateway.errors import ConfigError
from tests.support.processes import BREAKEVEN

TODAY = datetime.date(2026, 11, 20)
LATER = datetime.date(2027, 1, 1)


def config(folder: Path, **changes: object) -> Path:
    teacher = {"base_url": "https://api.openai.com/v1", "model": "gpt-4o", "prices_package": "genai-prices", **changes}
    path = folder / "breakeven.yaml"
    student = {"base_url": "http://127.0.0.1:8000/v1", "model": "small"}
    path.write_text(yaml.safe_dump({"student": student, "teacher": teacher}))
    return path


def fault(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert len(caught.value.faults) == 1
    return caught.value.faults[0]


def price(**amounts: Any) -> ModelPrice:
    return ModelPrice(
        **{key: Decimal(str(value)) if isinstance(value, int | float) else value for key, value in amounts.items()}
    )


def tiered(base: str, above: str) -> TieredPrices:
    return TieredPrices(base=Decimal(base), tiers=[Tier(start=200_000, price=Decimal(above))])


def read(model: ModelInfo | ModelPrice | list[ConditionalPrice], *, further: bool = False, **variants: Any) -> Any:
    """What is read of a model with these prices, in place of the package's own data."""
    if not isinstance(model, ModelInfo):
        model = ModelInfo(id="m", match=ClauseEquals(equals="m"), prices=model, **variants)
    seller = Provider(id="seller", name="Seller", api_pattern="https://seller", models=[model])
    set_custom_snapshot(DataSnapshot(providers=[seller], from_auto_update=False))
    try:
        return read_package("genai-prices", Wanted("teacher", "m", "seller", "", further), TODAY)
    finally:
        set_custom_snapshot(None)


def test_the_installed_package_has_the_prices_of_a_known_model(tmp_path: Path) -> None:
    teacher = load_config(config(tmp_path)).teacher
    prices = teacher.usd_per_million
    assert (prices.input, prices.cached_input, prices.output) == (Decimal("2.5"), Decimal("1.25"), Decimal(10))
    source = teacher.prices_source
    assert source is not None
    assert source.startswith(f"genai-prices {genai_prices.__version__}, whose newest price is of 20")
    assert ": gpt-4o of openai" in source


def test_long_prompts_and_cache_writes_of_the_installed_package() -> None:
    url = "https://api.anthropic.com/v1"
    prices, changes, *_ = read_package("genai-prices", Wanted("teacher", "claude-sonnet-4-5", None, url), TODAY)
    assert (prices["cache_write"], prices["cache_write_1h"]) == (Decimal("3.75"), 6)
    assert prices["context_tiers"] == [{"above_prompt_tokens": 200_000, "input": 2, "output": Decimal("1.5")}]
    assert changes == []


def test_all_kinds_and_the_tiers_of_the_package() -> None:
    variants = [
        PriceVariant(when={"service_tier": "default"}, prices=price()),
        PriceVariant(when={"service_tier": "priority"}, prices=price(input_mtok=3.5, output_mtok=14)),
        PriceVariant(when={"service_tier": "turbo"}, prices=price(), constraint=StartDateConstraint(start_date=LATER)),
        PriceVariant(when={"processing": "batch"}, prices=price(input_mtok=1, output_mtok=4)),
    ]
    prices, _, source, _ = read(
        price(
            input_mtok=2, output_mtok=8, input_audio_mtok=40, output_audio_mtok=80, web_searches_kcount=10,
            storage_searches_kcount=2.5,
        ),
        price_variants=variants,
    )  # fmt: skip
    assert prices == {
        "input": 2,
        "output": 8,
        "audio_input": 40,
        "audio_output": 80,
        "usd_per_web_search": Decimal("0.01"),
        "service_tiers": {"flex": Decimal("0.5"), "priority": Decimal("1.75")},
        "context_tiers": [],
    }
    assert source.endswith(": m of seller; not read: storage_searches_kcount")


def test_todays_price_and_announced_ones() -> None:
    dated = [
        ConditionalPrice(prices=price(input_mtok=9, output_mtok=9)),
        ConditionalPrice(StartDateConstraint(datetime.date(2026, 6, 1)), prices=price(input_mtok=1, output_mtok=2)),
        ConditionalPrice(StartDateConstraint(LATER), prices=price(input_mtok=3, output_mtok=6)),
    ]
    prices, changes, source, _ = read(dated)
    assert (prices["input"], prices["output"]) == (1, 2)
    assert [(one["since"], one["input"], one["output"]) for one in changes] == [
        (datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC), 3, 6)
    ]
    assert "whose newest price is of 2026-06-01" in source


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        (price(input_mtok=1), "output_mtok is missing; the model is not billed by the token"),
        (price(input_mtok=1, output_mtok=2, output_reasoning_mtok=3), "output_reasoning_mtok differs from output_mtok"),
        (price(input_mtok=1, output_mtok=2, requests_kcount=5), "requests_kcount is charged beside the tokens"),
        (price(input_mtok=0.1234567, output_mtok=2), "input_mtok: 0.1234567 USD per million tokens has more than six"),
        (
            price(input_mtok=tiered("1", "2"), cache_read_mtok=tiered("0.1", "0.3"), output_mtok=1),
            "prompts above 200000 tokens: input_mtok and cache_read_mtok are different multiples of the plain prices",
        ),
        (
            [
                ConditionalPrice(prices=price(input_mtok=1, output_mtok=2)),
                ConditionalPrice(
                    TimeOfDateConstraint(datetime.time(0), datetime.time(9)), prices=price(input_mtok=2, output_mtok=2)
                ),
            ],
            "the price depends on the time of day",
        ),
    ],
    ids=["no-output", "reasoning", "by-request", "decimals", "uneven-tier", "time-of-day"],
)
def test_what_cannot_be_counted_is_refused(prices: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(prices)
    (said,) = caught.value.faults
    assert said.startswith(f"teacher.prices_package: seller m: {message}")
    assert said.endswith("give teacher.usd_per_million or teacher.prices_file")


def test_a_price_computed_with_floats_is_read_without_their_noise() -> None:
    assert read(price(input_mtok=0.13999999999999999, output_mtok=1)).prices["input"] == Decimal("0.14")


def test_a_model_that_the_package_does_not_know(tmp_path: Path) -> None:
    said = fault(config(tmp_path, model="gpt-4z"))
    assert "has no model gpt-4z of openai (closest: gpt-4, gpt-4o" in said
    assert said.endswith("name one with teacher.prices_model, or give teacher.usd_per_million or teacher.prices_file")
    named = load_config(config(tmp_path, model="gpt-4z", prices_model="gpt-4o"))
    assert named.teacher.usd_per_million.input == Decimal("2.5")


def test_a_provider_is_never_guessed(tmp_path: Path) -> None:
    said = fault(config(tmp_path, base_url="http://10.0.0.1/v1"))
    assert "has no provider at teacher.base_url; name one with teacher.prices_provider, such as " in said
    assert "openai" in said
    named = load_config(config(tmp_path, base_url="http://10.0.0.1/v1", prices_provider="openai"))
    assert named.teacher.usd_per_million.input == Decimal("2.5")
    assert "has no provider opnai; closest: openai" in fault(config(tmp_path, prices_provider="opnai"))


def test_keys_that_exclude_each_other(tmp_path: Path) -> None:
    prices = {"input": 1, "output": 1}
    assert "usd_per_million and prices_package are given" in fault(config(tmp_path, usd_per_million=prices))
    alone = config(tmp_path, prices_package=None, usd_per_million=prices, prices_provider="openai")
    assert fault(alone) == "teacher: prices_provider names a provider in prices_package, which is not given"
    other = fault(config(tmp_path, prices_package="tokencost"))
    assert other == "teacher.prices_package: tokencost is not a package that prices can be read from; use genai-prices"


def test_without_the_package_the_command_that_installs_it_is_named(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['genai_prices'] = None\n"
        "from breakeven.gateway.cli.main import main; sys.argv[0] = 'breakeven'; main()"
    )
    command = [sys.executable, "-P", "-c", program, "check", "--config", str(config(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "genai-prices is not installed; install it with: pip install 'breakeven[prices]'" in done.stderr


def test_check_says_where_the_prices_are_from_and_how_old_they_are(tmp_path: Path) -> None:
    command = [*BREAKEVEN, "check", "--config", str(config(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    first, _, rest = done.stdout.partition("\n")
    assert first.startswith(f"# The teacher's prices are from genai-prices {genai_prices.__version__}, whose newest ")
    assert yaml.safe_load(rest)["teacher"]["usd_per_million"]["output"] == "10"


def test_a_request_of_a_further_model_may_have_a_price() -> None:
    found = read(price(input_mtok=0.05, requests_kcount=2), further=True)
    assert (found.prices["input"], "output" in found.prices) == (Decimal("0.05"), False)
    assert found.of_a_request == Decimal("0.002")
    assert read(price(requests_kcount=2), further=True).prices.keys() == {"service_tiers", "context_tiers"}
    with pytest.raises(ConfigError, match="requests_kcount is charged beside the tokens"):
        read(price(input_mtok=1, output_mtok=1, requests_kcount=2))
    with pytest.raises(ConfigError, match="input_mchars is charged beside the tokens"):
        read(price(input_mtok=1, input_mchars=2), further=True)
