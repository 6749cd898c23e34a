"""The pages on money say what is so: their config is valid, their commands run and print what they say."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import yaml
from typer.main import get_command

from breakeven.gateway.cli.main import app
from breakeven.gateway.config.schema import Config
from tests.support.processes import BREAKEVEN

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs/how-to/money-report.md").read_text(encoding="utf-8")
BREAK_EVEN = (ROOT / "docs/explanation/break-even.md").read_text(encoding="utf-8")


def test_the_config_is_valid() -> None:
    value = yaml.safe_load(TEXT.split("```yaml\n", 1)[1].split("```", 1)[0])
    value["student"] |= {"base_url": "http://127.0.0.1:8000/v1", "model": "small"}
    value["teacher"] |= {"base_url": "https://api.example.com/v1", "model": "big"}
    config = Config.model_validate(value)
    assert config.student.hosting_changes[0].replicas == 3


def printed(command: str) -> str:
    """What a command of a page prints."""
    words = shlex.split(command.replace("\\\n", " "))
    done = subprocess.run([*BREAKEVEN, *words[1:]], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_plan_prints_what_the_page_says() -> None:
    command = re.search(r"```sh\n(breakeven plan .*?)```", TEXT, re.DOTALL)
    assert command is not None
    output = printed(command[1])
    said = TEXT.split("prints ", 1)[1].split(".\n", 1)[0]
    for figure in re.findall(r"\$[\d,.]+\d|[\d.]+ to [\d.]+ months", said + "."):
        assert figure in output
    assert "0.345 to 3.45 months" in output


def test_the_plan_with_hosting_prints_what_the_page_says() -> None:
    command = re.findall(r"```sh\n(breakeven plan .*?)```", BREAK_EVEN, re.DOTALL)[1]
    output = printed(command)
    said = BREAK_EVEN.split("prints that ", 1)[1].split(" and a table", 1)[0]
    figures = re.findall(r"\d[\d,]*\.\d\d|\d\d,\d{3},\d{3}", said)
    assert len(figures) == 6
    for figure in figures:
        assert figure in output, figure


def test_each_option_of_the_commands_is_there() -> None:
    known = {
        command.name: {option for parameter in command.params for option in parameter.opts}
        for command in get_command(app).commands.values()  # type: ignore[attr-defined]
    }
    for line in re.findall(r"breakeven (report|invest|plan)([^`\n]*)", TEXT + BREAK_EVEN):
        for option in re.findall(r"--[a-z-]+", line[1]):
            assert option in known[line[0]], (line[0], option)
