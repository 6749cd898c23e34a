"""The commands of the first day: `init` writes a config, `key new` makes a client key."""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from breakeven.gateway.cli.options import DEFAULT_CONFIG
from breakeven.gateway.cli.questions import Question, Questions
from breakeven.gateway.cli.starter_config import Answers, StudentAnswers, starter_config

keys = typer.Typer(name="key", help="Client keys.", no_args_is_help=True)


@keys.callback()
def _keys() -> None:
    """Client keys."""


@keys.command("new")
def new_key(
    name: Annotated[str, typer.Argument(help="Name of the key in the ledger, the log and the dashboards.")],
) -> None:
    """Make a client key, and print it once with the lines for the config, which has only its hash."""
    from pydantic import ValidationError

    from breakeven.gateway.config.access import ClientKey

    key = f"bk-{secrets.token_urlsafe(32)}"
    try:
        entry = ClientKey(name=name, sha256=hashlib.sha256(key.encode()).hexdigest())
    except ValidationError:
        raise ValueError("NAME: must be 1 to 64 letters without accents, digits, or any of _ . -") from None
    typer.echo(f"# The key, which is stored nowhere: give it to the client now.\n# {key}")
    # In quotes: without them YAML reads the name 123 as a number, and yes as true.
    typer.echo(f'auth:\n  keys:\n    - {{name: {json.dumps(entry.name)}, sha256: "{entry.sha256}"}}')


Out = Annotated[Path, typer.Option(help="Path of the config file to write.")]
TeacherUrl = Annotated[str | None, typer.Option(help="Base URL of the teacher's API, with /v1.")]
TeacherModel = Annotated[str | None, typer.Option(help="The teacher's model name.")]
TeacherKeyEnv = Annotated[
    str | None, typer.Option(help="Environment variable with the teacher's API key; empty: it needs none.")
]
InputUsd = Annotated[float | None, typer.Option(min=0.0, help="The teacher's USD per million input tokens.")]
OutputUsd = Annotated[float | None, typer.Option(min=0.0, help="The teacher's USD per million output tokens.")]
CachedInputUsd = Annotated[
    float | None, typer.Option(min=0.0, help="The same for cached input tokens; default: as input tokens.")
]
StudentUrl = Annotated[
    str | None, typer.Option(help="Base URL of the student's vLLM, with /v1; empty: no student yet.")
]
StudentModel = Annotated[str | None, typer.Option(help="Name that the student is served under.")]
HostingUsd = Annotated[float | None, typer.Option(min=0.0, help="What the student's machine costs, USD per hour.")]
Floor = Annotated[float | None, typer.Option(min=0.5, max=0.999, help="Share of the teacher's quality to keep.")]
StorePrompts = Annotated[
    bool | None,
    typer.Option(
        "--store-prompts/--no-store-prompts",
        help="Consent to store prompts, so that a router can be trained on them; without it quality is only measured.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file.")]


def init(
    out: Out = DEFAULT_CONFIG,
    teacher_url: TeacherUrl = None,
    teacher_model: TeacherModel = None,
    teacher_key_env: TeacherKeyEnv = None,
    input_usd: InputUsd = None,
    output_usd: OutputUsd = None,
    cached_input_usd: CachedInputUsd = None,
    student_url: StudentUrl = None,
    student_model: StudentModel = None,
    hosting_usd_per_hour: HostingUsd = None,
    floor: Floor = None,
    store_prompts: StorePrompts = None,
    force: Force = False,
) -> None:
    """Ask for your models and their prices, and write a commented config file. What is given is not asked for."""
    if out.exists() and not force:
        raise ValueError(f"{out}: exists; give another --out, or --force to overwrite it")
    ask = Questions()
    answers = Answers(
        teacher_url=ask.text(
            Question("--teacher-url", "The teacher's base URL, with /v1", "teacher.base_url"), teacher_url
        ),
        teacher_model=ask.text(Question("--teacher-model", "Its model name", "teacher.model"), teacher_model),
        teacher_key_env=_key_env(ask, teacher_key_env),
        input_usd=ask.number(
            Question("--input-usd", "USD per million input tokens", "teacher.usd_per_million.input"), input_usd
        ),
        output_usd=ask.number(
            Question("--output-usd", "USD per million output tokens", "teacher.usd_per_million.output"), output_usd
        ),
        cached_input_usd=cached_input_usd,
        student=None,
    )
    url = ask.text(
        Question("--student-url", "The student's base URL, with /v1 (empty: none yet)", "student.base_url", ""),
        student_url,
    )
    if url:
        hosting = Question(
            "--hosting-usd-per-hour", "What its machine costs, USD an hour", "student.hosting_usd_per_hour"
        )
        student = StudentAnswers(
            url=url,
            model=ask.text(Question("--student-model", "Its model name", "student.model", "my-student"), student_model),
            hosting_usd_per_hour=ask.number(hosting, hosting_usd_per_hour),
            floor=ask.number(
                Question("--floor", "Share of the teacher's quality to keep", "road.floor", "0.98"), floor
            ),
            store_prompts=_consent(store_prompts),
        )
        answers = answers._replace(student=student)
    text = starter_config(answers)
    _check(text)
    _write(out, text)
    for line in _next_steps(out, answers):
        typer.echo(line)


def _key_env(ask: Questions, given: str | None) -> str:
    """The variable with the teacher's API key; empty where it needs none."""
    question = Question(
        "--teacher-key-env",
        "Environment variable with its API key, never the key itself (none, if it needs none)",
        "teacher.api_key_env",
        "TEACHER_API_KEY",
    )
    answer = ask.text(question, given)
    return "" if answer == "none" else answer


def _consent(given: bool | None) -> bool:
    if given is not None:
        return given
    if not sys.stdin.isatty():
        return False
    return typer.confirm("Store prompts in your ledger, so that a router can be trained on them?", default=False)


def _check(text: str) -> None:
    """Raise ConfigError for a config that does not load, before any file is touched: it may hold a key by mistake."""
    from breakeven.gateway.config.load import load_config

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / DEFAULT_CONFIG.name
        path.write_text(text, encoding="utf-8")
        load_config(path)


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{out}: cannot be written ({error.strerror}); give another --out") from None


def _next_steps(out: Path, answers: Answers) -> list[str]:
    option = "" if out == DEFAULT_CONFIG else f" --config {out}"
    steps = [f"{out} is written. Next:"]
    if answers.teacher_key_env:
        steps.append(f"  export {answers.teacher_key_env}=...")
    return [
        *steps,
        f"  export BREAKEVEN_ADMIN_KEY={secrets.token_urlsafe(24)}   # new and stored nowhere; opens /console",
        f"  breakeven check --live{option}",
        f"  breakeven serve{option}",
        "Then point OpenAI clients at http://127.0.0.1:8080/v1, and look at http://127.0.0.1:8080/console.",
    ]
