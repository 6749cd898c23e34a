"""Where the teacher's prices are from is said at the start and in the report, and they are what is counted with."""

from __future__ import annotations

import subprocess

import genai_prices

from tests.contract.gateway import Gateway, chat
from tests.contract.scripted import ScriptedUpstream, answer, completion
from tests.support.processes import BREAKEVEN

CONFIG = {
    "teacher": {
        "usd_per_million": None,
        "prices_package": "genai-prices",
        "prices_provider": "openai",
        "prices_model": "gpt-4o",
    }
}
SOURCE = f"prices are from genai-prices {genai_prices.__version__}, whose newest price is of 20"


def test_costs_are_at_the_prices_of_the_package(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    teacher.script(*answer(completion(usage=usage)))
    record = gateway.record(gateway.post(chat(model="teacher")))
    # 2.50 and 10.00 USD per million tokens.
    assert record["attempts"][0]["cost"]["input"] == 2_500_000_000
    assert record["attempts"][0]["cost"]["output"] == 1_000_000_000


def test_the_start_says_where_the_prices_are_from(gateway: Gateway) -> None:
    assert f"breakeven: the teacher's {SOURCE}" in gateway.log.read_text()


def test_the_report_says_where_the_prices_are_from(gateway: Gateway) -> None:
    command = [*BREAKEVEN, "report", "--config", str(gateway.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=gateway.environment)
    assert done.returncode == 0, done.stderr
    assert f"The teacher's {SOURCE}" in done.stdout
