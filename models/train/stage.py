"""One stage of a training: trains one student, with or without a teacher, and saves it to a directory."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from breakeven.models.errors import DistillError
from breakeven.models.train.checkpoints import TrainingClock, last_checkpoint
from breakeven.models.train.encode import Row
from breakeven.models.train.loading import load
from breakeven.models.train.packing import check_packing
from breakeven.models.train.settings import ADAPTERS, Settings
from breakeven.models.train.shrink import text_config
from breakeven.models.train.stop import StopOnSignal
from breakeven.models.train.trainer import (
    PROJECTIONS,
    Objective,
    Schedule,
    add_projections,
    build_trainer,
)
from breakeven.router.files import write_atomically

STAGE = "stage.json"
_PAIRS = 4


class Data(NamedTuple):
    """The encoded rows for training and evaluation, and counts of rows by what was done with them.

    `raw`: the rows for training as a trainer of trl takes them, which encodes them itself.
    """

    train: list[Row]
    held_out: list[Row]
    counts: dict[str, int]
    raw: Sequence[dict[str, Any]] = ()


def run_stage(
    settings: Settings,
    student: Any,
    teacher: Any,
    tokenizer: Any,
    data: Data,
    folder: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Train the student and save it to `folder`, or return the result of an earlier run that finished there.

    `teacher` is None for methods without one; `say` prints a line of progress. Returns layers, parameters, steps,
    eval_loss_before, eval_loss, seconds and history. Raises DistillError.
    """
    finished = folder / STAGE
    if finished.exists():
        made: dict[str, Any] = json.loads(finished.read_text(encoding="utf-8"))
        return made
    if settings.packing:
        for model, source in ((student, settings.student or settings.teacher), (teacher, settings.teacher)):
            if model is not None:
                check_packing(model, source, settings.max_length)
    objective = _objective(settings, student, teacher)
    size = {
        "layers": text_config(student).num_hidden_layers,
        "parameters": sum(p.numel() for name, p in student.named_parameters() if not name.startswith(PROJECTIONS)),
    }
    if settings.lora:
        student = _with_lora(student, settings)
    checkpoints = folder / "checkpoints"
    pad_id = tokenizer.pad_token_id
    trainer, clock = build_trainer(
        student, teacher, objective, schedule(settings), data.train, data.held_out, pad_id, checkpoints, say
    )
    checkpoint = last_checkpoint(checkpoints)
    if checkpoint is not None:
        say(f"resuming from {checkpoint.name}")
    stop = StopOnSignal()
    trainer.add_callback(stop)
    with stop.listening():
        train_from(trainer, checkpoint, settings)
    if data.held_out:
        trainer.evaluate()  # The best weights, which the Trainer loaded at the end.
    result = size | _outcome(trainer, clock)
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        save(trainer.accelerator.unwrap_model(trainer.model), tokenizer, folder, settings)
        write_atomically(finished, json.dumps(result) + "\n")
    trainer.accelerator.wait_for_everyone()
    return result


def _objective(settings: Settings, student: Any, teacher: Any) -> Objective:
    """The objective of the settings; for `feature`, adds the projections to the student. Raises DistillError."""
    method = {"progressive": "logit", "qlora": "sft"}.get(settings.method, settings.method)
    pairs = settings.pairs or (_evenly_paired(student, teacher) if method == "feature" else ())
    if method == "feature":
        _check_pairs(pairs, student, teacher)
        add_projections(student, teacher, pairs)
    return Objective(method, settings.temperature, settings.weight, settings.feature_weight, pairs)


def _outcome(trainer: Any, clock: TrainingClock) -> dict[str, Any]:
    """The steps, losses and seconds of a finished training."""
    logged = history(trainer.state.log_history)
    losses = [value for _, value in logged["eval"]]
    return {
        "steps": trainer.state.global_step,
        "eval_loss_before": losses[0] if losses else None,
        "eval_loss": losses[-1] if losses else None,
        "seconds": clock.seconds(),
        "history": logged,
    }


def train_from(trainer: Any, checkpoint: Path | None, settings: Settings) -> None:
    """Train, from a checkpoint if there is one. Raises DistillError with a suggestion where memory runs out."""
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        size = settings.batch_size
        more = "" if settings.gradient_checkpointing else "--gradient-checkpointing with the same --out; or "
        hint = (
            f"--batch-size {size // 2} --accumulate {settings.accumulate * 2}, which is equivalent"
            if size > 1
            else f"--max-length {settings.max_length // 2}, or --lora 16"
        )
        raise DistillError(f"out of memory with --batch-size {size}; try {more}{hint}, and another --out") from None


def schedule(settings: Settings) -> Schedule:
    """The schedule of these settings."""
    return Schedule(
        settings.epochs,
        settings.max_steps,
        settings.batch_size,
        settings.accumulate,
        settings.learning_rate,
        settings.eval_every,
        settings.patience,
        settings.seed,
        settings.dtype == "bfloat16",
        settings.cpu,
        settings.quiet,
        settings.save_every,
        settings.gradient_checkpointing,
        flat=settings.packing and settings.attention.startswith("flash"),
    )


def save(model: Any, tokenizer: Any, folder: Path, settings: Settings) -> None:
    """Save the model and the tokenizer for vLLM and transformers, with LoRA adapters merged into the weights; and the
    adapters alone, where they fit the model that training began with.
    """
    if settings.has_adapters or settings.method == "qlora":
        model.save_pretrained(str(folder / ADAPTERS))
    if settings.method == "qlora":
        model = _on_whole_weights(folder / ADAPTERS, settings)
    if settings.lora:
        model = model.merge_and_unload()
    if hasattr(model, PROJECTIONS):
        delattr(model, PROJECTIONS)
    # Serving needs the KV cache, whatever the setting was during training.
    text_config(model).use_cache = True
    model.to(torch.bfloat16 if "bfloat16" in (settings.dtype, settings.weights) else torch.float32)
    model.save_pretrained(str(folder), max_shard_size="5GB")
    tokenizer.save_pretrained(str(folder))


def _on_whole_weights(folder: Path, settings: Settings) -> Any:
    """The adapters in a folder on the weights as they were before they were rounded to four bits."""
    from peft import PeftModel

    whole = load(settings.student, settings._replace(method="sft"), settings.layers[0] if settings.layers else None)
    return PeftModel.from_pretrained(whole, str(folder))


def lora_config(rank: int) -> Any:
    """Adapters of this rank in all linear layers but the output's."""
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")


def _with_lora(student: Any, settings: Settings) -> Any:
    from peft import get_peft_model, prepare_model_for_kbit_training

    if settings.method == "qlora":
        student = prepare_model_for_kbit_training(student, use_gradient_checkpointing=False)
    try:
        return get_peft_model(student, lora_config(settings.lora))
    except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
        raise DistillError(
            f"--lora {settings.lora}: PEFT cannot adapt {type(student).__name__}; leave out --lora, which trains all "
            f"weights, or choose another --student. It says: {' '.join(str(error).split())[:200]}"
        ) from None


def _evenly_paired(student: Any, teacher: Any) -> tuple[tuple[int, int], ...]:
    """Pairs of layers evenly spaced over the depth of both models; the last pair is that of the last hidden states."""
    own, other = (text_config(model).num_hidden_layers for model in (student, teacher))
    count = min(_PAIRS, own)
    return tuple((round(i * own / count), round(i * other / count)) for i in range(1, count + 1))


def _check_pairs(pairs: tuple[tuple[int, int], ...], student: Any, teacher: Any) -> None:
    own, other = (text_config(model).num_hidden_layers for model in (student, teacher))
    for a, b in pairs:
        if not (0 <= a <= own and 0 <= b <= other):
            raise DistillError(
                f"--feature-layers {a}:{b}: the student has layers 0 to {own}, the teacher 0 to {other} "
                "(0: the embeddings)"
            )


def history(logs: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """The training and eval losses, as lists of (step, loss)."""
    return {
        "train": [(int(one["step"]), float(one["loss"])) for one in logs if "loss" in one],
        "eval": [(int(one["step"]), float(one["eval_loss"])) for one in logs if "eval_loss" in one],
    }
