"""Training a student on a teacher's answers with the methods `sft`, `logit`, `feature` and `progressive`.

Also runs under `accelerate launch`: each process calls `train`, and the first one writes. Needs the packages of the
extra `distill`, which are imported when training starts.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.models.data.hub import shown
from breakeven.models.data.rows import Example, read
from breakeven.models.errors import DistillError
from breakeven.models.train import card, inputs
from breakeven.models.train import quantize as quantizing
from breakeven.models.train.checks import check
from breakeven.models.train.settings import ADAPTERS, TEXT_ONLY, TRL, Settings
from breakeven.router import plots
from breakeven.router.files import write_atomically

if TYPE_CHECKING:
    from breakeven.models.train.stage import Data
    from breakeven.models.train.trl_rows import TrlRows

FINISHED = "training.json"


def train(settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    """Train a student and write a model directory for vLLM. Returns the facts of its model card.

    With the same settings, an interrupted run is resumed and a finished one is left unchanged. `say` prints a line of
    progress. Raises DistillError.
    """
    check(settings)
    settings = inputs.fetched(settings)
    facts = _finished_facts(settings)
    if facts is None:
        facts = _train(settings, say)
    else:
        say(f"{settings.out}: already finished")
    if settings.quantize == "none":
        return facts
    from breakeven.models.train.encode import encode
    from breakeven.models.train.system_role import allow_system

    tokenizer = _tokenizer(settings)
    rows = _examples(settings, tokenizer, lambda _line: None)[0]
    allow_system(tokenizer, rows, say)
    known = encode(rows, tokenizer, settings.max_length, reasoning=settings.reasoning == "keep")
    made = quantizing.quantize(settings.out, settings.quantize, known.rows, settings.seed)
    return {**facts, "quantized": made}


def _train(settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    from transformers import set_seed

    from breakeven.models.train import memory

    _quiet(settings)
    set_seed(settings.seed)
    tokenizer = _tokenizer(settings)
    data = _data(settings, tokenizer, say)
    say(f"rows: {', '.join(f'{count} {name}' for name, count in data.counts.items())}")
    for line in memory.estimate(settings, data.train):
        say(line)
    stages = _stages(settings, tokenizer, data, say)
    facts = _facts(settings, data, stages)
    if is_first_process():
        _write(settings.out, facts, stages)
    return facts


def estimate(settings: Settings, say: Callable[[str], None]) -> list[str]:
    """The lines of the memory estimate alone: nothing is trained or written. Raises DistillError as `train` does."""
    check(settings)
    settings = inputs.fetched(settings)
    _quiet(settings)
    from breakeven.models.train import memory

    return memory.estimate(settings, _data(settings, _tokenizer(settings), say).train)


def _quiet(settings: Settings) -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    if settings.quiet:
        logging.disable_progress_bar()


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
    if (out / ADAPTERS).is_dir():
        lines.append(
            f"{out / ADAPTERS}: the adapters alone; a vLLM with {facts['student']} takes them with --enable-lora "
            f"--max-lora-rank {_lora_rank(facts['settings']['lora'])} --lora-modules {out.name}={out / ADAPTERS}"
        )
    if made := facts.get("quantized"):
        folder = quantizing.folder_of(out, made["scheme"])
        share = made["bytes"] / made["bytes_before"]
        lines.append(
            f"{folder}: the model quantized to {made['scheme']}, {share:.0%} of the size; "
            "evaluate it before you serve it"
        )
    return lines


def _lora_rank(rank: int) -> int:
    """The lowest limit of ranks that vLLM takes and that this one keeps."""
    return next((one for one in (8, 16, 32, 64, 128, 256, 320, 512) if one >= rank), rank)


def _finished_facts(settings: Settings) -> dict[str, Any] | None:
    """Store the settings in the output directory, or check that they are those of its earlier run.

    Returns the facts if that run is finished, else None. Raises DistillError for other settings.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    path = settings.out / "settings.json"
    wanted = settings.fixed() | {"data": inputs.digest([*settings.rows, *settings.held_out])}
    if path.exists():
        held = json.loads(path.read_text(encoding="utf-8"))
        # A run of an earlier release has the defaults of settings that it did not know.
        held = Settings._field_defaults | held
        other = [name for name in wanted if held.get(name) != wanted[name]]
        if other:
            shown = ", ".join(f"{name} {held.get(name)!r}, not {wanted[name]!r}" for name in other[:3])
            raise DistillError(f"{settings.out} holds a run with {shown}; use the same settings, or another --out")
    elif is_first_process():
        write_atomically(path, json.dumps(wanted, indent=1) + "\n")
    finished = settings.out / FINISHED
    return json.loads(finished.read_text(encoding="utf-8")) if finished.exists() else None


def _tokenizer(settings: Settings) -> Any:
    """The student's tokenizer with a chat template and a padding token.

    Raises DistillError where the method compares tokens with a teacher of another vocabulary.
    """
    from breakeven.models.train.encode import PLAIN_TEMPLATE
    from breakeven.models.train.soft_targets import check_same_vocabulary
    from breakeven.models.train.templates import state, with_thinking

    source = settings.student or settings.teacher
    tokenizer = inputs.tokenizer_of(source)
    taught = settings.teacher is not None and settings.method not in (*TEXT_ONLY, "gold")
    if taught and settings.student is not None:
        check_same_vocabulary(tokenizer, inputs.tokenizer_of(settings.teacher))
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


def _data(settings: Settings, tokenizer: Any, say: Callable[[str], None]) -> Data:
    """Read and encode the rows, with stored soft targets for `logit` without a teacher. Raises DistillError."""
    from breakeven.models.train.encode import Encoded, encode, pack
    from breakeven.models.train.soft_targets import SoftTargets, check_fit
    from breakeven.models.train.stage import Data
    from breakeven.models.train.system_role import allow_system

    examples, made = _examples(settings, tokenizer, say)
    stored = settings.method == "logit" and settings.teacher is None
    soft, keep = SoftTargets(tokenizer) if stored else None, settings.reasoning == "keep"
    held: list[Example] = []
    if settings.held_out:
        held = read(settings.held_out, skip_bad=settings.skip_bad, skipped=say)
    allow_system(tokenizer, [*examples, *held], say)
    encoded = encode(examples, tokenizer, settings.max_length, soft, reasoning=keep)
    if stored:
        check_fit(encoded.with_soft, len(encoded.rows))
    tested = encode(held, tokenizer, settings.max_length, reasoning=keep) if held else Encoded([], 0, 0)
    counts = {"train": len(encoded.rows), "held_out": len(tested.rows)}
    counts["too_long"] = encoded.too_long + tested.too_long
    if made is not None:
        counts |= {"train": len(made.raw), "too_long": made.too_long + tested.too_long}
    thought = sum(any("reasoning_content" in turn for turn in one.turns()) for one in examples)
    if keep and not thought:
        raise DistillError("--reasoning keep: no row has reasoning_content; leave it out, or ask a teacher that thinks")
    if thought:
        counts["with_reasoning" if keep else "reasoning_dropped"] = thought
    if stored:
        counts["with_soft_targets"] = encoded.with_soft
    rows = pack(encoded.rows, settings.max_length) if settings.packing else encoded.rows
    counts |= {"packed_into": len(rows)} if settings.packing else {}
    return Data(rows, tested.rows, counts, made.raw if made is not None else ())


def _examples(settings: Settings, tokenizer: Any, say: Callable[[str], None]) -> tuple[list[Example], TrlRows | None]:
    """The rows to learn as examples, and for methods of trl as it takes them. Raises DistillError."""
    if settings.method not in TRL:
        return read(settings.rows, skip_bad=settings.skip_bad, skipped=say), None
    from breakeven.models.train.trl_rows import trl_rows

    made = trl_rows(settings, tokenizer, say)
    return made.examples, made


def _stages(settings: Settings, tokenizer: Any, data: Data, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Run the single stage, or with `progressive` one for each number of layers, each taught by the model before."""
    from breakeven.models.train.loading import load
    from breakeven.models.train.stage import run_stage

    if settings.method in TRL:
        from breakeven.models.train.trl_stage import run_trl_stage

        return [run_trl_stage(settings, tokenizer, data, say)]
    if settings.method != "progressive":
        student = load(settings.student, settings, settings.layers[0] if settings.layers else None)
        teacher = load(settings.teacher, settings) if settings.teacher and settings.method not in TEXT_ONLY else None
        return [run_stage(settings, student, teacher, tokenizer, data, settings.out, say)]
    made = []
    before = settings.teacher
    for number, layers in enumerate(settings.layers, 1):
        folder = settings.out if number == len(settings.layers) else settings.out / "stages" / str(number)
        # The first stage may start from a smaller model of the same family.
        start = settings.student if number == 1 and settings.student is not None else before
        student, teacher = load(start, settings, layers), load(before, settings)
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
        "student": shown(settings.student or settings.teacher or Path()),
        "teacher": shown(settings.teacher) if settings.teacher and settings.method not in TEXT_ONLY else None,
        "rows": data.counts,
        "stages": [{name: value for name, value in stage.items() if name != "history"} for stage in stages],
        "seconds": round(seconds, 1),
        "usd": f"{seconds / 3600 * settings.usd_per_hour:.4f}",
        "thinking": settings.thinking,
        "settings": settings.fixed(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__} | _trl_version(settings),
    }


def _trl_version(settings: Settings) -> dict[str, str]:
    return {"trl": importlib.metadata.version("trl")} if settings.method in TRL else {}


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
