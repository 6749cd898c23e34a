"""The first day: `init` writes a config that loads, `key new` makes a key, and examples in the help can be typed."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from breakeven.gateway.cli.main import app
from breakeven.gateway.config.load import load_config

TEACHER = ["--teacher-url", "https://api.example.com/v1", "--teacher-model", "big: #1", "--input-usd", "0.00001"]
TEACHER += ["--output-usd", "60"]
STUDENT = ["--student-url", "http://127.0.0.1:8000/v1", "--hosting-usd-per-hour", "1.2", "--floor", "0.95"]


def run(*line: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "breakeven.gateway.cli", *line]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def test_what_is_given_is_in_a_config_that_loads(tmp_path: Path) -> None:
    out = tmp_path / "gateway.yaml"
    done = run("init", *TEACHER, *STUDENT, "--cached-input-usd", "1.5", "--store-prompts", "--out", str(out))
    assert done.returncode == 0, done.stderr
    config = load_config(out)
    assert (config.teacher.model, config.teacher.base_url) == ("big: #1", "https://api.example.com/v1")
    prices = config.teacher.usd_per_million
    assert [str(one) for one in (prices.input, prices.cached_input, prices.output)] == ["0.00001", "1.5", "60.0"]
    assert config.student is not None
    assert (config.student.model, config.road.floor, config.ledger.store_prompts) == ("my-student", 0.95, True)
    assert f"breakeven serve --config {out}" in done.stdout
    assert "export TEACHER_API_KEY=" in done.stdout


def test_without_a_student_everything_passes_to_the_teacher(tmp_path: Path) -> None:
    out = tmp_path / "gateway.yaml"
    done = run("init", *TEACHER, "--teacher-key-env", "", "--out", str(out))
    assert done.returncode == 0, done.stderr
    config = load_config(out)
    assert config.student is None
    assert config.teacher.api_key_env is None
    assert not config.ledger.store_prompts


def test_prompts_are_stored_only_by_consent(tmp_path: Path) -> None:
    assert run("init", *TEACHER, *STUDENT, "--out", str(tmp_path / "a.yaml")).returncode == 0
    assert not load_config(tmp_path / "a.yaml").ledger.store_prompts


def test_the_commented_keys_are_real_ones(tmp_path: Path) -> None:
    """Every commented line of the file loads once it is taken in."""
    out = tmp_path / "gateway.yaml"
    assert run("init", *TEACHER, *STUDENT, "--out", str(out)).returncode == 0
    text = re.sub(r"^# (?=(economics|server|auth|routing|  )\b|  )", "", out.read_text(), flags=re.MULTILINE)
    out.write_text(text.replace('"..."', f'"{"0" * 64}"'))
    config = load_config(out)
    assert config.auth.keys[0].name == "team-a"
    assert config.routing.aliases == {"gpt-4o": "auto"}
    assert config.economics.investment_usd == 2500


def test_a_file_is_not_overwritten_and_what_is_missing_is_named(tmp_path: Path) -> None:
    out = tmp_path / "gateway.yaml"
    out.write_text("mine")
    done = run("init", *TEACHER, "--out", str(out))
    assert (done.returncode, out.read_text()) == (2, "mine")
    assert "--force" in done.stderr
    assert run("init", *TEACHER, "--out", str(out), "--force").returncode == 0
    missing = run("init", "--teacher-url", "https://api.example.com/v1", "--out", str(tmp_path / "b.yaml"))
    assert missing.returncode == 2
    assert missing.stderr.startswith("breakeven: --teacher-model: needed")
    assert not (tmp_path / "b.yaml").exists()
    nowhere = run("init", *TEACHER, "--out", str(tmp_path / "absent/c.yaml"))
    assert (nowhere.returncode, nowhere.stderr.count("\n")) == (2, 1)


def test_what_does_not_load_is_not_written(tmp_path: Path) -> None:
    """It may hold a key by mistake, and what was there before is worth more."""
    out = tmp_path / "gateway.yaml"
    refused = run("init", *TEACHER, "--teacher-key-env", "sk-4f1c-secret", "--out", str(out))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("breakeven: teacher.api_key_env: must be the name of an environment variable")
    assert "4f1c" not in refused.stderr
    assert not out.exists()
    out.write_text("mine")
    assert run("init", *TEACHER, "--teacher-url", "api.example.com", "--out", str(out), "--force").returncode == 2
    assert out.read_text() == "mine"


def answered(out: Path, *answers: str) -> subprocess.CompletedProcess[str]:
    """`init` at a terminal at which somebody enters these lines."""
    ours, its = pty.openpty()
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
    command = [sys.executable, "-m", "breakeven.gateway.cli", "init", "--out", str(out)]
    done = subprocess.run(command, stdin=its, capture_output=True, text=True, timeout=60)
    os.close(its)
    os.close(ours)
    return done


def test_a_wrong_answer_is_asked_for_again(tmp_path: Path) -> None:
    out = tmp_path / "gateway.yaml"
    entered = {
        "api.example.com": "teacher.base_url: must be an http:// or https:// URL",
        "https://api.example.com/v1": None,
        "my-student": None,
        "sk-4f1c-secret": "teacher.api_key_env: must be the name of an environment variable",
        "none": None,
        "$15": "'$15' is not a number",
        "-1": "teacher.usd_per_million.input: must be 0 or more",
        "15": None,
        "nan": "teacher.usd_per_million.output: must be a finite number",
        "60": None,
        "localhost:8000": "student.base_url: must be",
        "http://127.0.0.1:8000/v1": None,
        "": "student.model and teacher.model are the same",
        "other": None,
        "1.2": None,
        "95%": "'95%' is not a number",
        "95": "road.floor: must be 0.999 or less",
        "0.95": None,
        "y": None,
    }
    done = answered(out, *entered)
    assert done.returncode == 0, done.stdout + done.stderr
    errors = re.findall(r"Error: (.*)", done.stdout)
    expected = [said for said in entered.values() if said is not None]
    assert len(errors) == len(expected), done.stdout
    assert [error[: len(said)] for error, said in zip(errors, expected, strict=True)] == expected
    assert "4f1c" not in done.stdout + done.stderr + out.read_text()
    config = load_config(out)
    assert (config.teacher.model, config.teacher.api_key_env) == ("my-student", None)
    assert config.student is not None
    assert (config.student.model, config.road.floor, config.ledger.store_prompts) == ("other", 0.95, True)


def test_at_a_terminal_it_asks(tmp_path: Path) -> None:
    out = tmp_path / "gateway.yaml"
    answers = ("https://api.example.com/v1", "big", "", "15", "60", "http://127.0.0.1:8000/v1", "", "1.2", "", "y")
    done = answered(out, *answers)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("[TEACHER_API_KEY]") == 1
    config = load_config(out)
    assert config.teacher.api_key_env == "TEACHER_API_KEY"
    assert config.student is not None
    assert (config.student.model, config.road.floor, config.ledger.store_prompts) == ("my-student", 0.98, True)


def test_a_new_key_is_shown_with_its_hash(tmp_path: Path) -> None:
    first, second = (run("key", "new", "team-a").stdout for _ in range(2))
    assert first != second
    (key,) = re.findall(r"bk-[\w-]{40,}", first)
    (entry,) = yaml.safe_load(first)["auth"]["keys"]
    assert entry == {"name": "team-a", "sha256": hashlib.sha256(key.encode()).hexdigest()}
    # YAML would read it as a number.
    assert yaml.safe_load(run("key", "new", "123").stdout)["auth"]["keys"][0]["name"] == "123"
    refused = run("key", "new", "team a")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert refused.stderr.startswith("breakeven: NAME: must be")


def commands() -> list[tuple[str, list[str]]]:
    found = []
    for name, command in sorted(typer.main.get_group(app).commands.items()):  # type: ignore[attr-defined]
        examples = [line for line in (command.epilog or "").split("\n\n") if line.startswith("breakeven ")]
        found.append((name, examples))
    return found


@pytest.mark.parametrize(("name", "examples"), [one for one in commands() if one[1]])
def test_every_example_in_the_help_can_be_typed(name: str, examples: list[str]) -> None:
    command = typer.main.get_group(app).commands[name]  # type: ignore[attr-defined]
    for line in examples:
        program, typed, *arguments = shlex.split(line)
        assert (program, typed) == ("breakeven", name)
        # Parses, and does not run.
        command.make_context(name, arguments)
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).stdout
    assert all(line in shown for line in examples)


def test_every_plain_command_has_an_example() -> None:
    without = {name for name, examples in commands() if not examples}
    assert without == {"candidate", "distill", "key", "road"}, "groups have none; a command has at least one"


def test_the_shell_completes_commands_and_options() -> None:
    """By what `--install-completion` puts into bash's start file."""
    program = "import sys; sys.argv = ['breakeven']; from breakeven.gateway.cli.main import main; main()"
    for typed, wanted in (("breakeven tu", "tune"), ("breakeven tune --teach", "--teacher-share")):
        words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "_BREAKEVEN_COMPLETE": "complete_bash"}
        done = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, **words}, capture_output=True, text=True, timeout=60
        )
        assert done.stdout.split() == [wanted], done.stderr
