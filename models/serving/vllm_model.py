"""The model that vLLM is to serve: a folder, or a name on the Hugging Face hub, and what its config says."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from breakeven.models.serving.vllm_command import SERVER_FOLDER, StudentError

_HUB_NAME = re.compile(r"[\w][\w.-]*/[\w][\w.-]*(@[\w./-]+)?")
_SECONDS = 120.0
# Run by vLLM's interpreter, whose client of the hub knows the cache, the token and the proxies that vLLM will use.
_FETCH = """
import json, sys
from huggingface_hub import hf_hub_download
name, revision = sys.argv[1], sys.argv[2] or None
found = {}
for file in ("config.json", "tokenizer_config.json", "chat_template.jinja"):
    try:
        found[file] = open(hf_hub_download(name, file, revision=revision), encoding="utf-8").read()
    except Exception as error:
        if file == "config.json":
            print(type(error).__name__ + ": " + " ".join(str(error).split())[:200], file=sys.stderr)
            sys.exit(4)
print(json.dumps(found))
"""


class ServedModel(NamedTuple):
    """A model to serve: `name` as vLLM takes it (an absolute path, or a name on the hub), its `revision` there, its
    config and its chat template.
    """

    name: str
    revision: str | None
    config: Mapping[str, Any]
    template: str
    folder: Path | None

    @property
    def text_config(self) -> Mapping[str, Any]:
        """The config of the decoder; of a model for images too it is nested."""
        inner = self.config.get("text_config")
        return inner if isinstance(inner, dict) else self.config


def served_model(model: str, python: str) -> ServedModel:
    """The model in a folder or on the hub, as the interpreter `python` of vLLM reaches it.

    Raises StudentError where it is neither, an adapter, or not to be had.
    """
    folder = Path(model)
    if folder.is_dir():
        return _in_folder(folder)
    if _HUB_NAME.fullmatch(model) is None or (len(folder.parts) == 2 and folder.parent.is_dir()):
        raise StudentError(f"{model}: not a model directory, nor owner/name of a model on the Hugging Face hub")
    name, _, revision = model.partition("@")
    done = _run([python, "-c", _FETCH, name, revision])
    if done.returncode != 0:
        raise StudentError(_refusal(model, done.stderr.strip().splitlines()[-1:] or ["no output"]))
    files = json.loads(done.stdout.strip().splitlines()[-1])
    return ServedModel(name, revision or None, _decoded(files.get("config.json", "")), _template(files), None)


def _in_folder(folder: Path) -> ServedModel:
    found = {}
    for name in ("config.json", "tokenizer_config.json", "chat_template.jinja"):
        if (folder / name).is_file():
            found[name] = (folder / name).read_text(encoding="utf-8", errors="replace")
    if (folder / "adapter_config.json").is_file() and "config.json" not in found:
        base = _decoded((folder / "adapter_config.json").read_text(encoding="utf-8")).get("base_model_name_or_path")
        raise StudentError(
            f"{folder}: an adapter, not a model; serve its base model with it: breakeven student --model "
            f"{base or 'BASE'} -- --enable-lora --lora-modules {folder.name}={folder.resolve()}"
        )
    if "config.json" not in found:
        raise StudentError(f"{folder}: not a model directory (it must contain config.json, weights and tokenizer)")
    return ServedModel(str(folder.resolve()), None, _decoded(found["config.json"]), _template(found), folder.resolve())


def _run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, cwd=SERVER_FOLDER, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 4, "", f"Timeout: no answer in {_SECONDS:.0f} s")


def _refusal(model: str, lines: list[str]) -> str:
    said = lines[-1]
    kind = said.partition(":")[0]
    if kind == "GatedRepoError":
        return f"{model}: the model is gated; accept its terms on the hub, then `hf auth login`"
    if kind == "RepositoryNotFoundError":
        return f"{model}: neither a folder here nor a model on the hub (or a private one: `hf auth login`)"
    if kind == "RevisionNotFoundError":
        return f"{model}: the model has no such revision on the hub"
    if kind in ("LocalEntryNotFoundError", "ConnectionError", "OfflineModeIsEnabled", "Timeout", "ConnectError"):
        return (
            f"{model}: not a folder here, and the Hugging Face hub cannot be reached (or HF_HUB_OFFLINE is set); "
            "download the model where it is, and give its folder"
        )
    return f"{model}: the hub's client says: {said}"


def _template(files: Mapping[str, str]) -> str:
    """The chat template, as the tokenizer's config or a file of its own has it; empty without one."""
    if "chat_template.jinja" in files:
        return files["chat_template.jinja"]
    held = _decoded(files.get("tokenizer_config.json", "")).get("chat_template")
    return held if isinstance(held, str) else json.dumps(held) if held else ""


def _decoded(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}
