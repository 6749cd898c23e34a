"""Which parsers vLLM needs for a model, and advice on its flags for GPUs, adapters and reasoning."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from breakeven.models.serving.vllm_model import ServedModel

# vLLM's names of tool-call parsers by the model type in config.json; others write calls as Hermes does, if they do.
_TOOL_PARSERS = {
    "deepseek_v3": "deepseek_v3",
    "gemma4": "gemma4",
    "gemma4_text": "gemma4",
    "glm4_moe": "glm45",
    "gpt_oss": "openai",
    "granite": "granite",
    "granitemoehybrid": "granite4",
    "kimi_k2": "kimi_k2",
    "lfm2": "lfm2",
    "llama4": "llama4_pythonic",
    "minimax_m2": "minimax_m2",
    "ministral": "mistral",
    "mistral": "mistral",
    "mistral3": "mistral",
    "olmo3": "olmo3",
    "phi3": "phi4_mini_json",
    "qwen3_5": "qwen3_coder",
    "qwen3_5_moe": "qwen3_coder",
    "qwen3_next": "qwen3_coder",
    "seed_oss": "seed_oss",
}
_DEFAULT_TOOL_PARSER = "hermes"
# And of reasoning parsers; a template that opens a think block is DeepSeek R1's in the other families.
_REASONING_PARSERS = {
    "deepseek_v3": "deepseek_r1",
    "gemma4": "gemma4",
    "gemma4_text": "gemma4",
    "glm4_moe": "glm45",
    "gpt_oss": "openai_gptoss",
    "granite": "granite",
    "kimi_k2": "kimi_k2",
    "minimax_m2": "minimax_m2",
    "mistral": "mistral",
    "nemotron_h": "nemotron_v3",
    "olmo3": "olmo3",
    "qwen3": "qwen3",
    "qwen3_5": "qwen3",
    "qwen3_5_moe": "qwen3",
    "qwen3_moe": "qwen3",
    "qwen3_next": "qwen3",
    "seed_oss": "seed_oss",
}
# gpt-oss always reasons, whatever its template spells.
_ALWAYS = ("gpt_oss",)
# vLLM takes 90% of a GPU's memory, of which the weights should leave a good part to the KV cache.
_FOR_WEIGHTS = 0.7
_WEIGHTS = ("*.safetensors", "*.bin")


def tool_parser(model: ServedModel) -> str:
    """vLLM's parser of the tool calls that a model of this family writes."""
    kind = str(model.config.get("model_type", ""))
    if kind == "llama" and "<|python_tag|>" in model.template:
        return "llama3_json"
    return _TOOL_PARSERS.get(kind, _DEFAULT_TOOL_PARSER)


def advice(
    model: ServedModel,
    extra: Sequence[str],
    gpus: Sequence[float],
    enable_thinking: bool | None = None,
    *,
    cpu: bool = False,
) -> list[str]:
    """Lines of advice on flags that are not given in `extra`, and on those that do not fit how the student was trained.
    `gpus`: the memory of each GPU here, in GB; `enable_thinking`, `cpu`: as in `vllm_command.command`.
    """
    lines = []
    if not _given(extra, "--tensor-parallel-size", "-tp") and (line := _on_gpus(model, gpus)):
        lines.append(line)
    if (line := _on_thinking(model, extra, enable_thinking)) is not None:
        lines.append(line)
    if not _given(extra, "--enable-lora"):
        lines.append(
            "adapters: `-- --enable-lora --max-lora-rank RANK --lora-modules NAME=FOLDER` serves LoRA adapters beside "
            "the model, each under its name"
        )
    elif not _given(extra, "--max-lora-rank"):
        lines.append("adapters: vLLM refuses a rank above 16 unless `--max-lora-rank RANK` allows it")
    if cpu and _given(extra, "--enable-lora"):
        # vLLM's issue 48421: for a token without an adapter its loops on a CPU take the one in the last slot.
        lines.append(
            "adapters: on a CPU, vLLM answers requests for the model itself with the adapter in its last slot where "
            "both are answered at once; `--max-loras`, one more than adapters are loaded, leaves that empty"
        )
    return lines


def reasoning_parser(model: ServedModel) -> str | None:
    """vLLM's parser of the thoughts that a model writes; None where its chat template knows none, and where it was
    trained to answer without them: a parser would then take its whole answer for thoughts.
    """
    kind = str(model.config.get("model_type", ""))
    trained = _trained_to_think(model)
    if trained is False:
        return None
    if kind in _ALWAYS:
        return _REASONING_PARSERS[kind]
    marks = ("<think>", "enable_thinking", "reasoning_content", "[THINK]")
    thinks = trained or any(mark in model.template for mark in marks)
    return _REASONING_PARSERS.get(kind, "deepseek_r1") if thinks else None


def gpu_memory() -> list[float]:
    """The memory of each NVIDIA GPU here, in GB; empty where there is none or no driver."""
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired, ValueError):
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
        if done.returncode == 0:
            return [float(line) * 2**20 / 1e9 for line in done.stdout.split()]
    return []


def _on_thinking(model: ServedModel, extra: Sequence[str], enable_thinking: bool | None) -> str | None:
    """Whether the student is served as it was trained to begin its answers, and which parser of reasoning it needs."""
    trained = _trained_to_think(model)
    if trained is not None and enable_thinking not in (None, trained):
        return (
            f"note: this student was trained {'with' if trained else 'without'} thinking, and is now served otherwise"
        )
    if trained is False:
        return (
            "reasoning: this student answers without thinking: give vLLM no --reasoning-parser, which would take its "
            "answers for reasoning"
        )
    parser = reasoning_parser(model)
    if parser is None or _given(extra, "--reasoning-parser"):
        return None
    return (
        f"reasoning: this model thinks before it answers; with `-- --reasoning-parser {parser}` its thoughts come "
        "apart from the answer"
    )


def _trained_to_think(model: ServedModel) -> bool | None:
    """Whether `distill train` trained the student to think before it answers; None for another model."""
    if model.folder is None:
        return None
    try:
        facts = json.loads((model.folder / "training.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    thinking = facts.get("thinking") if isinstance(facts, dict) else None
    return thinking if isinstance(thinking, bool) else None


def _on_gpus(model: ServedModel, gpus: Sequence[float]) -> str | None:
    """Over how many GPUs to spread the weights, by their size and the number of attention heads."""
    if len(gpus) < 2:
        return None
    here = f"{len(gpus)} GPUs of {min(gpus):.0f} GB are here"
    size = None if model.folder is None else _gigabytes(model.folder)
    if size is None:
        return f"{here}: a model that does not fit one needs `-- --tensor-parallel-size N`"
    if size <= min(gpus) * _FOR_WEIGHTS:
        return f"{here}: the weights ({size:.1f} GB) fit one; start one server a GPU for more requests per second"
    heads = model.text_config.get("num_attention_heads")
    for count in range(2, len(gpus) + 1):
        if size <= count * min(gpus) * _FOR_WEIGHTS and (not isinstance(heads, int) or heads % count == 0):
            return f"{here}: the weights ({size:.1f} GB) need `-- --tensor-parallel-size {count}`"
    return f"{here}: the weights ({size:.1f} GB) do not fit them; quantize the model or use more GPUs"


def _gigabytes(folder: Path) -> float | None:
    for pattern in _WEIGHTS:
        if sizes := [path.stat().st_size for path in folder.glob(pattern)]:
            return sum(sizes) / 1e9
    return None


def _given(extra: Sequence[str], *flags: str) -> bool:
    return any(one.partition("=")[0].replace("_", "-") in flags for one in extra)
