"""Bills: every known export is found by its shape and read exactly, and a bad one gives one clear line."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from breakeven.gateway.reports import bills
from breakeven.gateway.reports.bills import BillRow

DAY = (date(2026, 11, 1) - date(1970, 1, 1)).days
USD = 10**12
START = DAY * 86_400
ANTHROPIC_USAGE = (
    "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
    "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
    "usage_output_tokens,web_search_count\n2026-11-01,claude-x,k,Default,standard,≤ 200k,100,20,30,50,7,0\n"
)
EXPORTS = {
    "openai usage": (
        f'{{"object": "page", "data": [{{"start_time": {START}, "results": [{{"input_tokens": 100, "model": "big", '
        '"input_cached_tokens": 40, "output_tokens": 7, "num_model_requests": 2}]}], "has_more": false}',
        BillRow(DAY, "big", 2, 100, 40, 7),
    ),
    "openai costs": (
        f'{{"object": "page", "data": [{{"start_time": {START}, "results": [{{"amount": {{"value": 0.06, "currency": '
        '"usd"}, "line_item": "big, cached input"}]}]}',
        BillRow(DAY, "big", cost=USD * 6 // 100),
    ),
    "openai usage csv": (
        "start_time,end_time,num_model_requests,model,input_tokens,output_tokens,input_cached_tokens\n"
        f"{START},0,2,big,100,7,40\n{START + 86400},0,,,,,\n",
        BillRow(DAY, "big", 2, 100, 40, 7),
    ),
    "openai costs csv": (
        "start_time\tstart_time_iso\tamount_value\tamount_currency\tline_item\n"
        f"{START}\t2026-11-01T00:00:00+00:00\t0.8958740000000000\tusd\t\n",
        BillRow(DAY, "", cost=895_874_000_000),
    ),
    "anthropic usage": (
        '{"data": [{"starting_at": "2026-11-01T00:00:00Z", "ending_at": "2026-11-02T00:00:00Z", "results": [{'
        '"uncached_input_tokens": 100, "cache_creation": {"ephemeral_5m_input_tokens": 20, '
        '"ephemeral_1h_input_tokens": 30}, "cache_read_input_tokens": 50, "output_tokens": 7, "model": "claude-x"}]}]}',
        BillRow(DAY, "claude-x", None, 200, 50, 7),
    ),
    "anthropic cost": (
        '{"data": [{"starting_at": "2026-11-01T00:00:00Z", "results": [{"currency": "USD", "amount": "123.45", '
        '"model": "claude-x", "description": "Input"}]}], "has_more": false}',
        BillRow(DAY, "claude-x", cost=1_234_500_000_000),
    ),
    "anthropic usage csv": (ANTHROPIC_USAGE, BillRow(DAY, "claude-x", None, 200, 50, 7)),
    "anthropic cost csv": (
        "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,cost_type\n"
        "2026-11-01,Claude X,Default,k,message,≤ 200k,input_no_cache,0.05,token\n",
        BillRow(DAY, "Claude X", cost=USD // 20),
    ),
    "azure": (
        "\ufeffDate,MeterCategory,MeterName,CostInBillingCurrency,BillingCurrency,Quantity,UnitOfMeasure\n"
        "11/01/2026,Virtual Machines,D2 v5,9,USD,24,1 Hour\n"
        "11/01/2026,Cognitive Services,gpt 4o 0806 cached Inp glbl Tokens,0.05,USD,40,1K\n",
        BillRow(DAY, "gpt-4o", None, 40_000, 40_000, None, USD // 20),
    ),
    "azure query": (
        'UsageDate,MeterName,PreTaxCost,Currency\n20261101,"gpt 4.1 mini Outp regnl Tokens",1.5,USD\n',
        BillRow(DAY, "gpt-4.1-mini", cost=USD * 3 // 2),
    ),
    "litellm": (
        '[{"request_id": "a", "startTime": "2026-11-01T23:59:59.5+00:00", "model": "openai/big", "spend": 1.25e-05, '
        '"prompt_tokens": 3, "completion_tokens": 1}]',
        BillRow(DAY, "openai/big", 1, 3, None, 1, 12_500_000),
    ),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_is_read(name: str, tmp_path: Path) -> None:
    text, row = EXPORTS[name]
    path = tmp_path / "bill"
    path.write_text(text, encoding="utf-8")
    assert bills.read(path) == [row]


def test_json_lines_and_pages_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "bill"
    record = '{"startTime": "2026-11-01 10:00:00", "model": "big", "spend": 0, "prompt_tokens": 0}'
    path.write_text(f"{record}\n{record}\n")
    assert bills.read(path) == [BillRow(DAY, "big", 0, 0, None, None, 0)] * 2
    page = EXPORTS["openai usage"][0]
    path.write_text(page.replace("false", "true") + "\n" + page)
    assert len(bills.read(path)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns of no known export: none"),
        ("a,b\n1,2\n", "columns of no known export: a, b; known are exports of OpenAI"),
        ("{", "line 1: not JSON"),
        ("[1]", "holds something else than JSON objects"),
        ('{"a": 1}', "record 1: fields of no known export"),
        ('{"data": []}', "holds no usage; export a period with usage"),
        ('{"data": 3}', "page 1: data: is not a list of objects"),
        (EXPORTS["openai usage"][0].replace("false", "true"), "has_more: the last page is missing"),
        (EXPORTS["openai costs"][0].replace("usd", "eur"), "results[0], amount: currency: 'eur' is not USD"),
        (EXPORTS["anthropic cost"][0].replace("123.45", "many"), "amount: 'many' is not a number"),
        (
            EXPORTS["anthropic usage csv"][0].replace("2026-11-01", "soon"),
            "row 2: usage_date_utc: 'soon' is not a date",
        ),
        (EXPORTS["anthropic usage"][0].replace("100", "1e999999999"), "'1E+999999999' is not a number"),
        (EXPORTS["azure query"][0].replace("USD", "EUR"), "row 2: currency: 'EUR' is not USD; export the bill in US"),
        (EXPORTS["litellm"][0].replace("3,", "1.5,"), "record 1: prompt_tokens: '1.5' is not a whole number"),
    ],
)
def test_a_bad_export_is_one_clear_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bill"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        bills.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        bills.read(tmp_path / "none")
    (tmp_path / "bill").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not UTF-8"):
        bills.read(tmp_path / "bill")
