"""Training a student on a teacher's answers with the methods `sft`, `logit`, `feature` and `progressive`.

Also runs under `accelerate launch`: each process calls `train`, and the first one writes. Needs the packages of the
extra `distill`, which are imported when training starts.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from breakeven.models.data.rows import Example, read
from breakeven.models.errors import DistillError
from breakeven.models.train import card
from breakeven.models.train import quantize as quantizing
from breakeven.models.train.settings import Method, Settings
from breakeven.router import plots
from breakeven.router.files import write_atomically

if TYPE_CHECKING:
    from breakeven.models.train.stage import Data

FINISHED = "training.json"
_NEEDED = ("torch", "transformers", "accelerate")


def train(settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    """Train a student and write a model directory for vLLM. Returns the facts of its model card.

    With the same settings, an interrupted run is resumed and a finished one is left unchanged. `say` prints a line of
    progress. Raises DistillError.
    """
    _check(settings)
    facts = _finished_facts(settings)
    if facts is None:
        facts = _train(settings, say)
    else:
        say(f"{settings.out}: already finished")
    if settings.quantize == "none":
        return facts
    from breakeven.models.train.encode import encode

    known = encode(
        read(settings.rows, skip_bad=settings.skip_bad),
        _tokenizer(settings),
        settings.max_length,
        reasoning=settings.reasoning == "keep",
    )
    made = quantizing.quantize(settings.out, settings.quantize, known.rows, settings.seed)
    return {**facts, "quantized": made}


def _train(settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    from transformers import set_seed
    from transformers.utils import logging

    logging.set_verbosity_error()
    if settings.quiet:
        logging.disable_progress_bar()
    set_seed(settings.seed)
    tokenizer = _tokenizer(settings)
    data = _data(settings, tokenizer)
    say(f"rows: {', '.join(f'{count} {name}' for name, count in data.counts.items())}")
    stages = _stages(settings, tokenizer, data, say)
    facts = _facts(settings, data, stages)
    if is_first_process():
        _write(settings.out, facts, stages)
    return facts


def summary(facts: dict[str, Any], out: Path) -> list[str]:
    """The lines to print at the end of a training."""
    lines = []
    for number, stage in enumerate(facts["stages"], 1):
        line = f"stage {number}: {stage['layers']} layers, {stage['steps']} steps"
        if stage["eval_loss"] is not None:
            line += f", eval loss {stage['eval_loss_before']:.4f} -> {stage['eval_loss']:.4f}"
        lines.append(line)
    lines.append(f"{facts['seconds']:.0f} s, {facts['usd']} USD")
    lines.append(f"{out}: a model directory; serve it with: breakeven student --model {out}")
    if made := facts.get("quantized"):
        folder = quantizing.folder_of(out, made["scheme"])
        share = made["bytes"] / made["bytes_before"]
        lines.append(
            f"{folder}: the model quantized to {made['scheme']}, {share:.0%} of the size; "
            "evaluate it before you serve it"
        )
    return lines


def _check(settings: Settings) -> None:
    """Raise DistillError for missing packages and for settings that do not go together."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if settings.lora and importlib.util.find_spec("peft") is None:
        missing.append("peft")
    if missing:
        raise DistillError(f"training needs {', '.join(missing)}: pip install 'breakeven[distill]'")
    quantizing.check(settings.quantize)
    if settings.reasoning not in ("keep", "drop"):
        raise DistillError(f"--reasoning {settings.reasoning}: must be keep or drop")
    if settings.reasoning == "keep" and not settings.thinking:
        raise DistillError("--reasoning keep and --no-enable-thinking contradict each other; leave one out")
    if settings.method not in get_args(Method):
        raise DistillError(f"--method {settings.method}: must be {', '.join(get_args(Method))}")
    if settings.method in ("feature", "progressive") and settings.teacher is None:
        raise DistillError(f"--method {settings.method} needs --teacher, the directory of a white-box model")
    if settings.method == "feature" and settings.lora:
        raise DistillError("--method feature does not support LoRA; leave out --lora")
    if settings.method == "progressive":
        if not settings.layers:
            raise DistillError(
                "--method progressive needs --layers, such as --layers 12,6: the number of layers of each stage"
            )
        if list(settings.layers) != sorted(settings.layers, reverse=True):
            raise DistillError("--layers: each stage must be smaller than the one before, such as 12,6")
    elif len(settings.layers) > 1:
        raise DistillError("--layers: only --method progressive takes more than one number")
    if settings.method != "progressive" and settings.student is None:
        raise DistillError(f"--method {settings.method} needs --student, the directory of the model to start from")
    for name in ("student", "teacher"):
        folder = getattr(settings, name)
        if folder is not None and not (folder / "config.json").is_file():
            raise DistillError(f"--{name} {folder}: not a model directory (it must contain config.json and weights)")


def _finished_facts(settings: Settings) -> dict[str, Any] | None:
    """Store the settings in the output directory, or check that they are those of its earlier run.

    Returns the facts if that run is finished, else None. Raises DistillError for other settings.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    path = settings.out / "settings.json"
    wanted = settings.fixed() | {"data": _digest([*settings.rows, *settings.held_out])}
    if path.exists():
        held = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name in wanted if held.get(name) != wanted[name]]
        if other:
            shown = ", ".join(f"{name} {held.get(name)!r}, not {wanted[name]!r}" for name in other[:3])
            raise DistillError(f"{settings.out} holds a run with {shown}; use the same settings, or another --out")
    elif is_first_process():
        write_atomically(path, json.dumps(wanted, indent=1) + "\n")
    finished = settings.out / FINISHED
    return json.loads(finished.read_text(encoding="utf-8")) if finished.exists() else None


def _digest(paths: Sequence[Path]) -> str:
    """The SHA-256 of the files' contents. Raises DistillError where one cannot be read."""
    try:
        return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in paths)).hexdigest()
    except OSError as error:
        raise DistillError(f"{error.filename}: cannot be read: {error.strerror}") from None


def _tokenizer(settings: Settings) -> Any:
    """The student's tokenizer with a chat template and a padding token.

    Raises DistillError where the method compares tokens with a teacher of another vocabulary.
    """
    from transformers import AutoTokenizer

    from breakeven.models.train.encode import PLAIN_TEMPLATE
    from breakeven.models.train.soft_targets import check_same_vocabulary
    from breakeven.models.train.templates import state, with_thinking

    source = settings.student or settings.teacher
    tokenizer = AutoTokenizer.from_pretrained(str(source))
    if settings.method != "sft" and settings.teacher is not None and settings.student is not None:
        check_same_vocabulary(tokenizer, AutoTokenizer.from_pretrained(str(settings.teacher)))
    if tokenizer.eos_token_id is None:
        raise DistillError(f"{source}: the tokenizer has no end-of-text token; set eos_token in its config")
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    with_thinking(tokenizer, thinking=settings.thinking)
    if settings.reasoning == "keep" and state(tokenizer) == "closed":
        raise DistillError(f"--reasoning keep: the chat template of {source} begins every answer without thinking")
    return tokenizer


def _data(settings: Settings, tokenizer: Any) -> Data:
    """Read and encode the rows, with stored soft targets for `logit` without a teacher. Raises DistillError."""
    from breakeven.models.train.encode import Encoded, encode, pack
    from breakeven.models.train.soft_targets import SoftTargets, check_fit
    from breakeven.models.train.stage import Data

    stored = settings.method == "logit" and settings.teacher is None
    soft, keep = SoftTargets(tokenizer) if stored else None, settings.reasoning == "keep"
    examples = read(settings.rows, skip_bad=settings.skip_bad)
    encoded = encode(examples, tokenizer, settings.max_length, soft, reasoning=keep)
    if stored:
        check_fit(encoded.with_soft, len(encoded.rows))
    held: list[Example] = read(settings.held_out, skip_bad=settings.skip_bad) if settings.held_out else []
    tested = encode(held, tokenizer, settings.max_length, reasoning=keep) if held else Encoded([], 0, 0)
    counts = {"train": len(encoded.rows), "held_out": len(tested.rows)}
    counts["too_long"] = encoded.too_long + tested.too_long
    thought = sum(any("reasoning_content" in turn for turn in one.turns()) for one in examples)
    if keep and not thought:
        raise DistillError("--reasoning keep: no row has reasoning_content; leave it out, or ask a teacher that thinks")
    if thought:
        counts["with_reasoning" if keep else "reasoning_dropped"] = thought
    if stored:
        counts["with_soft_targets"] = encoded.with_soft
    rows = pack(encoded.rows, settings.max_length) if settings.packing else encoded.rows
    return Data(rows, tested.rows, counts | ({"packed_into": len(rows)} if settings.packing else {}))


def _stages(settings: Settings, tokenizer: Any, data: Data, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Run the single stage, or with `progressive` one for each number of layers, each taught by the model before."""
    from breakeven.models.train.stage import load, run_stage

    if settings.method != "progressive":
        student = load(settings.student, settings.layers[0] if settings.layers else None)
        teacher = load(settings.teacher) if settings.teacher and settings.method != "sft" else None
        return [run_stage(settings, student, teacher, tokenizer, data, settings.out, say)]
    made = []
    before = settings.teacher
    for number, layers in enumerate(settings.layers, 1):
        folder = settings.out if number == len(settings.layers) else settings.out / "stages" / str(number)
        # The first stage may start from a smaller model of the same family.
        start = settings.student if number == 1 and settings.student is not None else before
        student, teacher = load(start, layers), load(before)
        say(f"stage {number} of {len(settings.layers)}: {layers} layers, taught by {before}")
        made.append(run_stage(settings, student, teacher, tokenizer, data, folder, say))
        before = folder
    return made


def _facts(settings: Settings, data: Data, stages: list[dict[str, Any]]) -> dict[str, Any]:
    import torch
    import transformers

    seconds = sum(stage["seconds"] for stage in stages)
    return {
        "method": settings.method,
        "student": str(settings.student or settings.teacher),
        "teacher": str(settings.teacher) if settings.teacher and settings.method != "sft" else None,
        "rows": data.counts,
        "stages": [{name: value for name, value in stage.items() if name != "history"} for stage in stages],
        "seconds": round(seconds, 1),
        "usd": f"{seconds / 3600 * settings.usd_per_hour:.4f}",
        "thinking": settings.thinking,
        "settings": settings.fixed(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def _write(out: Path, facts: dict[str, Any], stages: list[dict[str, Any]]) -> None:
    write_atomically(out / "README.md", card.card(facts))
    # A training of hours is not lost for a picture.
    if plots.installed():
        card.draw(stages, out / "loss.png")
    write_atomically(out / FINISHED, json.dumps(facts, indent=1) + "\n")
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    for path in (out / "stages").glob("*/checkpoints"):
        shutil.rmtree(path, ignore_errors=True)


def is_first_process() -> bool:
    """Whether this is the first of the processes that `accelerate launch` started, which does the writing."""
    return os.environ.get("RANK", "0") == "0"
