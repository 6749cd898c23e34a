"""The section `models`: further upstreams by name."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from breakeven.gateway.config.load import check_environment, load_config
from breakeven.gateway.errors import ConfigError
from breakeven.gateway.ledger.rates import model_price_schedule
from breakeven.gateway.server.workers import divide_limits
from tests.unit.gateway.config.test_load import document, faults, write

URL = "http://127.0.0.1:3/v1"
PRICES = {"input": 1, "output": 2}


def with_models(*models: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {**document(), "models": [{"base_url": URL, **one} for one in models], **sections}


def test_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, with_models({"name": "embed"}, {"name": "a/b:c", "model": "other"})))
    first, second = config.models
    assert (first.model, first.paths, first.max_concurrency) == ("embed", ["/embeddings"], 256)
    assert (first.usd_per_million, first.usd_per_request) == (None, 0)
    assert (second.model, second.usd_per_request) == ("other", 0)


def test_its_files_and_limits_are_those_of_an_upstream(tmp_path: Path) -> None:
    secure = {"name": "embed", "base_url": "https://a.example/v1", "ca_file": "ca.pem", "max_concurrency": 5}
    config = load_config(write(tmp_path, with_models(secure)))
    assert config.models[0].ca_file == str(tmp_path / "ca.pem")
    assert divide_limits(config, 2).models[0].max_concurrency == 3
    assert list(config.sections) == ["student", "teacher", "models[0]"]


def test_its_prices(tmp_path: Path) -> None:
    change = {"since": "2026-12-01T00:00:00Z", "input": 3, "output": 4}
    paid = {"name": "a", "usd_per_million": {"input": "0.02"}, "price_changes": [change], "usd_per_request": "0.004"}
    config = load_config(write(tmp_path, with_models(paid, {"name": "b"})))
    (_, now), (since, later) = model_price_schedule(config.models[0])
    assert (now.input, now.output, now.request) == (20_000, 0, 4_000_000_000)
    assert (since, later.input, later.request) == (1_796_083_200_000_000, 3_000_000, 4_000_000_000)
    assert config.models[0].usd_per_million is not None
    assert config.models[0].usd_per_million.output == Decimal(0)
    ((_, free),) = model_price_schedule(config.models[1])
    assert (free.input, free.output, free.request) == (0, 0, 0)


LISTED = """{
 "embed": {"input_cost_per_token": 2e-08, "output_cost_per_token": 0.0, "mode": "embedding"},
 "rank": {"input_cost_per_query": 0.002, "input_cost_per_token": 0.0, "mode": "rerank"},
 "draw": {"output_cost_per_image": 0.04, "input_cost_per_token": 0},
 "hear": {"input_cost_per_second": 0.0001, "output_cost_per_second": 0.0}
}"""


def test_prices_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text(LISTED)
    listed = {"prices_file": "prices.json"}
    ranks = {"name": "ranks", "prices_model": "rank", **listed}
    dearer = {"name": "dearer", "model": "rank", "usd_per_request": "0.003", **listed}
    config = load_config(write(tmp_path, with_models({"name": "embed", **listed}, ranks, dearer, {"name": "own"})))
    prices = [model_price_schedule(one)[0][1] for one in config.models]
    assert [(one.input, one.output, one.request) for one in prices] == [
        (20_000, 0, 0), (0, 0, 2_000_000_000), (0, 0, 3_000_000_000), (0, 0, 0),
    ]  # fmt: skip
    said = list(config.sources_of_prices())
    assert [one.partition(" are from prices.json of ")[0] for one in said] == [
        f"The prices of the model {name}" for name in ("embed", "ranks", "dearer")
    ]


def test_prices_from_the_package(tmp_path: Path) -> None:
    of = {"prices_package": "genai-prices", "base_url": "https://api.openai.com/v1"}
    config = load_config(write(tmp_path, with_models({"name": "text-embedding-3-small", **of})))
    assert config.models[0].usd_per_million is not None
    assert (config.models[0].usd_per_million.input, config.models[0].usd_per_million.output) == (Decimal("0.02"), 0)


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        ({"name": "a", "prices_file": "none.json"}, "models[1].prices_file: none.json cannot be read"),
        (
            {"name": "embde", "prices_file": "prices.json"},
            "models[1].prices_file: prices.json has no model embde",
        ),
        ({"name": "draw", "prices_file": "prices.json"}, "models[1].prices_file: draw: output_cost_per_image: is not"),
        ({"name": "hear", "prices_file": "prices.json"}, "models[1].prices_file: hear: input_cost_per_second: is not"),
        ({"name": "a", "prices_package": "genai-prices"}, "models[1].prices_package: genai-prices "),
        ({"name": "a", "prices_package": "genai-prices", "prices_provider": "opnai"}, "models[1].prices_provider: "),
        (
            {"name": "a", "prices_file": "prices.json", "usd_per_million": PRICES},
            "models[1]: give exactly one of usd_per_million, prices_file, prices_package; usd_per_million ",
        ),
        ({"name": "a", "prices_model": "b"}, "models[1]: prices_model names a model in prices_file or prices_package"),
    ],
)
def test_a_fault_of_prices_is_reported_with_its_key(tmp_path: Path, model: dict[str, Any], fault: str) -> None:
    (tmp_path / "prices.json").write_text(LISTED)
    (found,) = faults(tmp_path, with_models({"name": "first"}, model))
    assert found.replace(f"{tmp_path}/", "").startswith(fault)
    assert "teacher" not in found


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        ({}, "models[0].name: missing; it has no default"),
        ({"name": "auto"}, "models[0].name: 'auto' is the name of an upstream of the gateway already"),
        ({"name": "teacher"}, "models[0].name: 'teacher' is the name of an upstream"),
        ({"name": "small"}, "models[0].name: 'small' is the name of an upstream"),
        ({"name": "alias"}, "models[0].name: 'alias' is an alias, too; remove routing.aliases.alias"),
        ({"name": "auto@0.5"}, "models[0].name: is not written as it must be"),
        ({"name": "x" * 65}, "models[0].name: is not written as it must be"),
        ({"name": "a", "base_url": "ftp://x"}, "models[0].base_url: must be an http:// or https:// URL"),
        ({"name": "a", "paths": []}, "models[0].paths: must have at least one entry"),
        ({"name": "a", "paths": ["embeddings"]}, "models[0].paths[0]: is not written as it must be"),
        ({"name": "a", "paths": ["/v1/../x y"]}, "models[0].paths[0]: is not written as it must be"),
        ({"name": "a", "paths": ["/models"]}, "models[0].paths: /models is answered by the gateway itself; remove it"),
        ({"name": "a", "paths": ["/models/x"]}, "models[0].paths: /models/x is answered by the gateway itself"),
        ({"name": "a", "paths": ["/responses/x/cancel"]}, "models[0].paths: /responses/x/cancel is answered"),
        ({"name": "a", "hosting_usd_per_hour": 1}, "models[0].hosting_usd_per_hour: unknown key"),
        ({"name": "a", "usd_per_million": {"input": -1}}, "models[0].usd_per_million.input: must be 0 or more"),
        ({"name": "a", "usd_per_request": "0.0000001"}, "models[0].usd_per_request: must have at most 6 decimals"),
        (
            {"name": "a", "price_changes": [{"since": "2026-12-01T00:00:00Z", **PRICES}]},
            "models[0]: price_changes needs usd_per_million",
        ),
        ({"name": "a", "client_key": "k.pem"}, "models[0]: client_key needs client_cert"),
    ],
)
def test_a_fault_is_reported_with_its_path(tmp_path: Path, model: dict[str, Any], fault: str) -> None:
    found = faults(tmp_path, with_models(model, routing={"aliases": {"alias": "auto"}}))
    assert any(one.startswith(fault) for one in found), found


def test_names_differ(tmp_path: Path) -> None:
    found = faults(tmp_path, with_models({"name": "a"}, {"name": "a"}))
    assert found == ["models[1].name: 'a' is the name of another of the models; choose another"]


def test_an_alias_may_mean_one(tmp_path: Path) -> None:
    load_config(write(tmp_path, with_models({"name": "embed"}, routing={"aliases": {"ada": "embed"}})))


def test_a_missing_variable_is_reported(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, with_models({"name": "embed", "api_key_env": "NO_SUCH_VARIABLE"})))
    with pytest.raises(ConfigError) as refused:
        check_environment(config)
    fault = "models[0].api_key_env: the environment variable NO_SUCH_VARIABLE is not set; export it"
    assert fault in refused.value.faults
