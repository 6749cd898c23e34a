"""The vLLM server of the student: its command line, and its lifecycle with a scripted vLLM process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from breakeven.models.serving.run_student import run_student
from breakeven.models.serving.vllm_server import (
    Student,
    StudentError,
    check_python,
    command,
    config_section,
    environment,
)
from tests.support.processes import CHECKOUT


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_the_command_enables_what_the_gateway_needs() -> None:
    made = command(Path("/m"), name="s", host="127.0.0.1", port=1, cpu=False, extra=["--seed", "3"])
    assert made[:3] == [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    line = " ".join(made)
    for part in (
        "--model /m --served-model-name s --host 127.0.0.1 --port 1",
        "--enable-prefix-caching",
        "--enable-prompt-tokens-details",
        "--enable-auto-tool-choice --tool-call-parser hermes",
    ):
        assert part in line
    assert made[-2:] == ["--seed", "3"]
    assert "--enforce-eager" not in made
    assert "--max-model-len" not in made
    plain = command(Path("/m"), name="s", cpu=True, max_model_len=512, tool_call_parser=None, python="/p")
    assert plain[0] == "/p"
    assert "--dtype bfloat16 --enforce-eager" in " ".join(plain)
    assert "--max-model-len 512" in " ".join(plain)
    assert "--enable-auto-tool-choice" not in plain


def test_the_environment_disables_telemetry_and_keeps_set_values() -> None:
    made = environment(True, {"PATH": "/bin", "VLLM_CPU_KVCACHE_SPACE": "4"})
    assert (made["PATH"], made["VLLM_CPU_KVCACHE_SPACE"]) == ("/bin", "4")
    assert (made["VLLM_NO_USAGE_STATS"], made["DO_NOT_TRACK"], made["HF_HUB_OFFLINE"]) == ("1", "1", "1")
    assert environment(True, {})["VLLM_CPU_KVCACHE_SPACE"] == "1"
    assert "VLLM_CPU_KVCACHE_SPACE" not in environment(False, {})


def test_the_config_section_is_valid_yaml_for_any_model_name() -> None:
    text = config_section(base_url="http://127.0.0.1:1/v1", name='a: "b" #c', max_model_len=2048)
    section = yaml.safe_load(text)["student"]
    assert section["base_url"] == "http://127.0.0.1:1/v1"
    assert (section["model"], section["context_window"], section["tools"]) == ('a: "b" #c', 2048, True)
    assert section["hosting_usd_per_hour"] == 0.0


def test_an_interpreter_without_vllm_is_an_error_that_says_how_to_fix_it(tmp_path: Path) -> None:
    bare = [sys.executable, "-I", "-S", "-c", "import venv, sys; venv.create(sys.argv[1])", tmp_path / "bare"]
    subprocess.run(bare, check=True)
    with pytest.raises(
        StudentError, match=r"has no vLLM: install it in an environment of its own.*BREAKEVEN_VLLM_PYTHON"
    ):
        check_python(str(tmp_path / "bare" / "bin" / "python"))
    with pytest.raises(StudentError, match="cannot run the interpreter"):
        check_python(str(tmp_path / "nothing"))


def test_the_model_directory_must_be_valid_and_the_port_free(scripted: Path, tmp_path: Path) -> None:
    options = {"cpu": True, "host": "127.0.0.1", "name": "s", "max_model_len": None, "python": None, "say": print}
    with pytest.raises(StudentError, match=r"config\.json"):
        run_student(tmp_path, port=0, **options)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StudentError, match="choose another --port"):
            run_student(scripted, port=taken.getsockname()[1], **options)


def test_the_server_is_awaited_and_all_its_processes_are_ended(
    scripted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_FILE", str(tmp_path / "worker"))
    port = free_port()
    argv = command(scripted, name="s", host="127.0.0.1", port=port, max_model_len=321)
    student = Student(argv, environment(True), host="127.0.0.1", port=port)
    student.start(ready_seconds=30)
    worker = int((tmp_path / "worker").read_text())
    assert student.max_model_len == 321
    assert student.base_url == f"http://127.0.0.1:{port}/v1"
    assert student.poll() is None
    student.stop(grace_seconds=0.5)
    assert is_gone(worker)
    student.stop()


def test_an_early_exit_is_an_error_with_the_end_of_the_log(scripted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTED", "fails")
    port = free_port()
    argv = command(scripted, name="s", port=port)
    with (
        pytest.raises(StudentError, match=r"ended with code 7 before it was ready: .*no room for the cache"),
        Student(argv, environment(True), host="127.0.0.1", port=port),
    ):
        pass


def test_a_server_that_is_never_ready_is_an_error(scripted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTED", "hangs")
    port = free_port()
    student = Student(command(scripted, name="s", port=port), environment(True), host="127.0.0.1", port=port)
    with pytest.raises(StudentError, match="was not ready in time: loading"):
        student.start(ready_seconds=2)
    assert student.poll() is None


@pytest.mark.parametrize(("number", "mode"), [(signal.SIGTERM, ""), (signal.SIGINT, ""), (signal.SIGTERM, "hangs")])
def test_run_student_serves_until_a_signal(
    scripted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, mode: str
) -> None:
    monkeypatch.setenv("SCRIPTED", mode)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.environ["PYTHONPATH"], CHECKOUT]))
    script = (
        "import functools, pathlib, sys; from breakeven.models.serving.run_student import run_student\n"
        "sys.exit(run_student(pathlib.Path(sys.argv[1]), cpu=True, host='127.0.0.1', port=0, name='s',"
        " max_model_len=None, python=None, say=functools.partial(print, flush=True)))"
    )
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, "-c", script, scripted], stdout=output, stderr=output)
    wanted = "starting vLLM" if mode else "hosting_usd_per_hour"
    deadline = time.monotonic() + 30
    while wanted not in log.read_text() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    assert process.wait(40) == 0, log.read_text()
    assert children
    assert all(is_gone(child.pid) for child in children)
    if not mode:
        text = log.read_text()
        section = yaml.safe_load(text[text.index("student:") : text.index("stopping vLLM")])["student"]
        assert section["context_window"] == 2048
