"""docs/money.md says what is so: its config is valid, its commands run and print what it says."""

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
TEXT = (ROOT / "docs/money.md").read_text(encoding="utf-8")


def test_the_config_is_valid() -> None:
    value = yaml.safe_load(TEXT.split("```yaml\n", 1)[1].split("```", 1)[0])
    value["student"] |= {"base_url": "http://127.0.0.1:8000/v1", "model": "small"}
    value["teacher"] |= {"base_url": "https://api.example.com/v1", "model": "big"}
    config = Config.model_validate(value)
    assert config.student.hosting_changes[0].replicas == 3


def test_the_plan_prints_what_the_page_says() -> None:
    command = re.search(r"```sh\n(breakeven plan .*?)```", TEXT, re.DOTALL)
    assert command is not None
    words = shlex.split(command[1].replace("\\\n", " "))
    run = [*BREAKEVEN, *words[1:]]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    said = TEXT.split("prints ", 1)[1].split(".\n", 1)[0]
    for figure in re.findall(r"\$[\d,.]+\d|[\d.]+ to [\d.]+ months", said + "."):
        assert figure in done.stdout
    assert "0.345 to 3.45 months" in done.stdout


def test_each_option_of_the_commands_is_there() -> None:
    known = {
        command.name: {option for parameter in command.params for option in parameter.opts}
        for command in get_command(app).commands.values()  # type: ignore[attr-defined]
    }
    for line in re.findall(r"breakeven (report|invest|plan)([^`\n]*)", TEXT):
        for option in re.findall(r"--[a-z-]+", line[1]):
            assert option in known[line[0]], (line[0], option)
