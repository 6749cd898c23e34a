"""`breakeven student` with a scripted vLLM: hub names, further flags, progress and advice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from breakeven.models.serving.vllm_advice import advice, reasoning_parser, tool_parser
from breakeven.models.serving.vllm_command import with_whole_paths
from breakeven.models.serving.vllm_model import ServedModel, served_model
from breakeven.models.serving.vllm_progress import Progress
from tests.support import hub
from tests.support.processes import BREAKEVEN, CHECKOUT

LOG = """INFO [model.py:733] Resolved architecture: LlamaForCausalLM
INFO [api_utils.py:286] non-default args: {'api_key': ['sk-very-secret']}
Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:01]
Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:01]
Loading safetensors checkpoint shards: 100% Completed | 2/2 [00:02<00:00]
INFO [kv_cache_utils.py] GPU KV cache size: 12,345 tokens
"""


def student(scripted: Path, *arguments: str, **more: str) -> tuple[int, str]:
    """Run the command until it is ready, then end it; its exit code and all that it printed."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], CHECKOUT]), **more}
    line = [*BREAKEVEN, "student", "--port", "0", *arguments]
    said = []
    with subprocess.Popen(line, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for printed in process.stdout:
            said.append(printed)
            if "hosting_usd_per_hour" in printed:
                process.send_signal(signal.SIGTERM)
        return process.wait(40), "".join(said)


def served(scripted: Path, *arguments: str, **more: str) -> tuple[dict[str, Any], str]:
    """What the scripted vLLM was started with, and what the command printed."""
    seen = scripted.parent / "arguments"
    code, said = student(scripted, *arguments, SCRIPTED_ARGUMENTS=str(seen), **more)
    assert code == 0, said
    return json.loads(seen.read_text()), said


def test_flags_after_two_dashes_come_last_and_progress_is_shown(scripted: Path, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LOG)
    flags = ("--tensor-parallel-size", "2", "--enable-lora", "--api-key=sk-very-secret")
    seen, said = served(scripted, "--model", str(scripted), "--", *flags, SCRIPTED_LOG=str(tmp_path / "log"))
    assert seen["argv"][-4:] == list(flags)
    assert seen["hub_offline"] == "1"
    stages = [line.split("s  ", 1)[1] for line in said.splitlines() if line.startswith("  ") and " s  " in line]
    assert stages == [
        "model: LlamaForCausalLM",
        "weights: 1 of 2 files",
        "weights: 2 of 2 files",
        "KV cache: 12,345 tokens",
    ]
    # The server demands the key, which is asked for in the config and printed nowhere.
    section = yaml.safe_load(said[said.index("student:") : said.index("stopping vLLM")])["student"]
    assert section["api_key_env"] == "STUDENT_API_KEY"
    assert "very-secret" not in said
    assert "adapters: vLLM refuses a rank above 16" in said


def test_paths_in_flags_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adapters" / "a").mkdir(parents=True)
    (tmp_path / "chat.jinja").touch()
    (tmp_path / "hermes").mkdir()
    given = ["--lora-modules", "a=adapters/a", "b=./b", "--chat-template=chat.jinja", "--tool-call-parser", "hermes"]
    at = str(tmp_path)
    whole = ["--lora-modules", f"a={at}/adapters/a", f"b={at}/b", f"--chat-template={at}/chat.jinja"]
    assert with_whole_paths([*given, "acme/name", "/etc"]) == [
        *whole,
        "--tool-call-parser",
        "hermes",
        "acme/name",
        "/etc",
    ]


def test_the_log_of_a_failed_start_shows_no_key(scripted: Path, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LOG + "hf_token='hf-also-secret'\n")
    flags = ("--api-key", "sk-very-secret", "--hf-token=hf-also-secret")
    more = {"SCRIPTED": "fails", "SCRIPTED_LOG": str(tmp_path / "log")}
    code, said = student(scripted, "--model", str(scripted), "--", *flags, **more)
    assert code == 2
    assert "ended with code 7 before it was ready" in said
    assert "no room for the cache" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--", "--port", "1"), "--port after --: give --port before it"),
        (("--", "--served-model-name=x"), "--served-model-name after --: give --name before it"),
        (("--", "--model_x", "--host=h"), "--host after --: give --host before it"),
        (("--", "stray"), "'stray' after --: vLLM's flags begin with --"),
        (("--tensor-parallel-size", "2"), "No such option: --tensor-parallel-size"),
    ],
)
def test_flags_that_contradict_the_command_are_refused(scripted: Path, arguments: tuple[str, ...], said: str) -> None:
    code, printed = student(scripted, "--model", str(scripted), *arguments)
    assert code == 2
    assert said in printed
    assert "Traceback" not in printed


def test_a_model_on_the_hub_is_served_by_its_name(scripted: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models" / "acme" / "thinker"
    repository.mkdir(parents=True)
    (repository / "config.json").write_text('{"model_type": "qwen3"}')
    (repository / "tokenizer_config.json").write_text('{"chat_template": "<think>"}')
    cache = {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"}
    with hub.running(tmp_path) as url:
        name = f"acme/thinker@{hub.COMMIT}"
        seen, said = served(scripted, "--model", name, HF_ENDPOINT=url, **cache)
        code, none = student(scripted, "--model", "acme/none", HF_ENDPOINT=url, **cache)
    assert seen["argv"][:2] == ["--model", "acme/thinker"]
    assert f"--revision {hub.COMMIT} --tokenizer-revision {hub.COMMIT}" in " ".join(seen["argv"])
    assert seen["hub_offline"] == "0"
    assert "reasoning: this model thinks before it answers; with `-- --reasoning-parser qwen3`" in said
    assert code == 2
    assert "breakeven: acme/none: neither a folder here nor a model on the hub" in none
    code, none = student(scripted, "--model", "acme/other", HF_ENDPOINT=url, **cache)
    assert code == 2
    assert "acme/other: not a folder here, and the Hugging Face hub cannot be reached" in none
    assert "Traceback" not in none


def test_an_adapter_is_refused_with_the_command_that_serves_it(scripted: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "support"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "acme/base"}')
    code, said = student(scripted, "--model", str(adapter))
    assert code == 2
    assert f"breakeven student --model acme/base -- --enable-lora --lora-modules support={adapter}" in said
    code, said = student(scripted, "--model", str(tmp_path / "nothing" / "deeper" / "still"))
    assert code == 2
    assert "not a model directory, nor owner/name of a model on the Hugging Face hub" in said


def model(kind: str, template: str = "", folder: Path | None = None, **config: Any) -> ServedModel:
    return ServedModel("m", None, {"model_type": kind, **config}, template, folder)


def test_parsers_follow_the_family() -> None:
    assert tool_parser(model("llama")) == "hermes"
    assert tool_parser(model("llama", "<|python_tag|>")) == "llama3_json"
    assert tool_parser(model("mistral")) == "mistral"
    assert reasoning_parser(model("qwen3", "{% if enable_thinking %}")) == "qwen3"
    assert reasoning_parser(model("llama", "<think>")) == "deepseek_r1"
    assert reasoning_parser(model("llama", "plain")) is None
    assert reasoning_parser(model("gpt_oss")) == "openai_gptoss"


def test_a_student_trained_without_thinking_gets_no_parser_of_reasoning(tmp_path: Path) -> None:
    qwen = model("qwen3", "{% if enable_thinking %}<think>", folder=tmp_path)
    (tmp_path / "training.json").write_text('{"thinking": false}')
    assert reasoning_parser(qwen) is None
    assert "give vLLM no --reasoning-parser" in advice(qwen, [], [])[0]
    assert "was trained without thinking, and is now served otherwise" in advice(qwen, [], [], True)[0]
    (tmp_path / "training.json").write_text('{"thinking": true}')
    assert "`-- --reasoning-parser qwen3`" in advice(qwen, [], [])[0]
    assert reasoning_parser(model("llama", "plain", folder=tmp_path)) == "deepseek_r1"
    assert "was trained with thinking" in advice(qwen, [], [], False)[0]


def test_tensor_parallel_advice_follows_sizes_and_heads(tmp_path: Path) -> None:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(100_000_000_000)
    big = model("llama", folder=tmp_path, text_config={"num_attention_heads": 16})
    (line, _) = advice(big, [], [80.0] * 4)
    assert line == "4 GPUs of 80 GB are here: the weights (100.0 GB) need `-- --tensor-parallel-size 2`"
    assert "need `-- --tensor-parallel-size 4`" in advice(big, [], [40.0] * 4)[0]
    assert "do not fit them; quantize" in advice(big, [], [24.0] * 2)[0]
    assert "fit one; start one server a GPU" in advice(big, [], [180.0] * 2)[0]
    assert "GPU" not in "".join(advice(big, [], [80.0]))
    assert "GPU" not in "".join(advice(big, ["--tensor-parallel-size=4"], [80.0] * 4))
    assert "does not fit one needs" in advice(model("llama"), [], [80.0] * 2)[0]


def test_on_a_cpu_it_says_how_adapters_and_the_model_are_kept_apart() -> None:
    lora = ["--enable-lora", "--max-lora-rank=8"]
    (line,) = advice(model("llama"), lora, [], cpu=True)
    assert "`--max-loras`, one more than adapters are loaded" in line
    assert advice(model("llama"), lora, []) == []
    assert "last slot" not in "".join(advice(model("llama"), [], [], cpu=True))


def test_a_long_silence_is_broken_by_a_sign_of_life() -> None:
    now = 0.0
    said: list[str] = []
    progress = Progress(said.append, lambda: now)
    progress.tick()
    assert said == []
    progress.line("Starting to load model")
    now = 14.0
    progress.tick()
    now = 16.0
    progress.tick()
    progress.tick()
    assert said == ["     0 s  loading the weights", "    16 s  still at: loading the weights"]


def test_the_model_of_a_folder_has_its_config_and_template(scripted: Path) -> None:
    (scripted / "chat_template.jinja").write_text("<think>")
    (scripted / "config.json").write_text('{"text_config": {"num_attention_heads": 3}}')
    found = served_model(str(scripted), sys.executable)
    assert (found.name, found.template, found.text_config["num_attention_heads"]) == (str(scripted), "<think>", 3)
    start = time.monotonic()
    assert served_model(str(scripted), "/no/interpreter").name == str(scripted)
    assert time.monotonic() - start < 1
