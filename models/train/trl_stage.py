"""Training with a trainer of trl: `dpo`, `on-policy` and `gold`, with the same checkpoints, losses and card as our own.

Needs the extra `trl`, imported when training starts.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from breakeven.models.errors import DistillError
from breakeven.models.train.checkpoints import TrainingClock, last_checkpoint
from breakeven.models.train.held_out_stop import HeldOutStop
from breakeven.models.train.loading import load
from breakeven.models.train.settings import Settings
from breakeven.models.train.shrink import text_config
from breakeven.models.train.stage import STAGE, Data, history, lora_config, save, schedule, train_from
from breakeven.models.train.stop import StopOnSignal
from breakeven.models.train.trainer import LossPrinter, Objective, build_trainer
from breakeven.router.files import write_atomically


def run_trl_stage(settings: Settings, tokenizer: Any, data: Data, say: Callable[[str], None]) -> dict[str, Any]:
    """Train and save the student as `stage.run_stage` does, and return the same facts. Raises DistillError.

    Eval loss is the cross-entropy of the held-out answers before and after. With `patience` it is measured at each
    evaluation too, which ends the training early, and the best weights are kept; not of `dpo`, whose aim it is not.
    """
    folder = settings.out
    finished = folder / STAGE
    if finished.exists():
        made: dict[str, Any] = json.loads(finished.read_text(encoding="utf-8"))
        return made
    student = load(settings.student, settings, settings.layers[0] if settings.layers else None)
    size = {
        "layers": text_config(student).num_hidden_layers,
        "parameters": sum(p.numel() for p in student.parameters()),
    }
    before = _eval_loss(student, settings, tokenizer, data)
    checkpoints = folder / "checkpoints"
    clock = TrainingClock(folder / "checkpoints-clock.json")
    # The trainers of trl measure other losses on held-out rows, each its own.
    trainer = _trainer(settings, student, tokenizer, data.raw, checkpoints)
    trainer.add_callback(clock)
    if settings.quiet:
        trainer.add_callback(LossPrinter(say))
    checkpoint = last_checkpoint(checkpoints)
    if checkpoint is not None:
        say(f"resuming from {checkpoint.name}")
        _continue_order(trainer, checkpoint)
    held_out = None
    if before is not None and settings.stops_early:
        held_out = _stop_early(trainer, settings, tokenizer, data, before)
        trainer.add_callback(held_out)
    stop = StopOnSignal()
    trainer.add_callback(stop)
    with stop.listening():
        train_from(trainer, checkpoint, settings)
    trained = trainer.accelerator.unwrap_model(trainer.model)
    if held_out is not None:
        held_out.restore()
    after = _eval_loss(trained, settings, tokenizer, data)
    steps = trainer.state.global_step
    losses = history(trainer.state.log_history)
    if before is not None and after is not None:
        losses["eval"] = [(0, before), (steps, after)] if held_out is None else held_out.history
    result = size | {"steps": steps, "eval_loss_before": before, "eval_loss": after, "seconds": clock.seconds()}
    result["history"] = losses
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        save(trained, tokenizer, folder, settings)
        write_atomically(finished, json.dumps(result) + "\n")
    trainer.accelerator.wait_for_everyone()
    return result


def _stop_early(trainer: Any, settings: Settings, tokenizer: Any, data: Data, before: float) -> HeldOutStop:
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        raise DistillError("--patience: not with FSDP or DeepSpeed in the methods of trl; give --patience 0")
    measure = _measure(trainer.accelerator.unwrap_model(trainer.model), settings, tokenizer, data)
    folder = settings.out / "checkpoints"
    return HeldOutStop(measure, trainer, folder, every=settings.eval_every, patience=settings.patience, before=before)


def _eval_loss(model: Any, settings: Settings, tokenizer: Any, data: Data) -> float | None:
    return _measure(model, settings, tokenizer, data)() if data.held_out else None


def _measure(model: Any, settings: Settings, tokenizer: Any, data: Data) -> Callable[[], float]:
    """A function that gives the cross-entropy of the held-out answers by a model as it then is."""
    measure, _ = build_trainer(
        model,
        None,
        Objective("sft"),
        schedule(settings)._replace(save_every=0, patience=0),
        data.held_out,
        data.held_out,
        tokenizer.pad_token_id,
        settings.out / "checkpoints",
        lambda _: None,
    )

    def loss() -> float:
        training = model.training
        found = float(measure.evaluate()["eval_loss"])
        model.train(training)
        return found

    return loss


def _trainer(settings: Settings, student: Any, tokenizer: Any, rows: Sequence[dict[str, Any]], folder: Path) -> Any:
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback

    if settings.quiet:
        disable_progress_bars()
    # About versions of vLLM, which is not used here.
    warnings.filterwarnings("ignore", message="TRL currently supports vLLM")

    make = {"dpo": _dpo, "on-policy": _on_policy, "gold": _gold}[settings.method]
    adapters = lora_config(settings.lora) if settings.lora else None
    common = {"args": _arguments(settings, folder), "peft_config": adapters}
    try:
        trainer = make(settings, student, tokenizer, Dataset.from_list(list(rows)), common)
    except ValueError as error:
        raise DistillError(f"--method {settings.method}: trl: {' '.join(str(error).split())[:300]}") from None
    trainer.remove_callback(PrinterCallback)
    return trainer


def _continue_order(trainer: Any, checkpoint: Path) -> None:
    """Let a sampler of trl go on with the order of the epoch in which the checkpoint was saved.

    Its generator draws one order for each epoch and is not part of a checkpoint: without this, a resumed run would
    repeat the order of the first.
    """
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    made_before = trainer._get_train_sampler

    def sampler(*args: Any) -> Any:
        made = made_before(*args)
        if isinstance(generator := getattr(made, "generator", None), torch.Generator):
            for _ in range(int(state["epoch"] + 1e-6)):
                torch.randperm(made.num_samples, generator=generator)
        return made

    trainer._get_train_sampler = sampler


def _dpo(settings: Settings, student: Any, tokenizer: Any, rows: Any, common: dict[str, Any]) -> Any:
    from trl import DPOConfig, DPOTrainer

    args = DPOConfig(**common.pop("args"), beta=settings.beta, max_length=settings.max_length)
    # With adapters, the reference is the model without them.
    layers = settings.layers[0] if settings.layers else None
    reference = None if settings.lora else load(settings.student, settings, layers)
    return DPOTrainer(student, reference, args=args, train_dataset=rows, processing_class=tokenizer, **common)


def _on_policy(settings: Settings, student: Any, tokenizer: Any, rows: Any, common: dict[str, Any]) -> Any:
    from trl import DistillationConfig, DistillationTrainer

    args = DistillationConfig(
        **common.pop("args"), beta=settings.beta, max_completion_length=settings.completion_tokens
    )
    teacher = load(settings.teacher, settings)
    return DistillationTrainer(student, teacher, args=args, train_dataset=rows, processing_class=tokenizer, **common)


def _gold(settings: Settings, student: Any, tokenizer: Any, rows: Any, common: dict[str, Any]) -> Any:
    from trl.experimental.gold import GOLDConfig, GOLDTrainer

    args = GOLDConfig(
        **common.pop("args"),
        beta=settings.beta,
        max_length=settings.max_length,
        max_completion_length=settings.completion_tokens,
        # The Jensen-Shannon divergence of tokens that both vocabularies have, and only for others the distance of
        # sorted probabilities, which alone does not say which token is meant.
        use_uld_loss=True,
        uld_use_hybrid_loss=True,
        teacher_tokenizer_name_or_path=str(settings.teacher),
    )
    teacher = load(settings.teacher, settings)
    return GOLDTrainer(student, teacher, args=args, train_dataset=rows, processing_class=tokenizer, **common)


def _arguments(settings: Settings, folder: Path) -> dict[str, Any]:
    """The arguments that all trainers take; the same schedule as that of our own."""
    return {
        "output_dir": str(folder),
        "num_train_epochs": settings.epochs,
        "max_steps": settings.max_steps or -1,
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.accumulate,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.05,
        "weight_decay": 0.01,
        "eval_strategy": "no",
        "save_strategy": "steps",
        "save_steps": settings.save_every or settings.eval_every,
        "save_total_limit": 2,
        "logging_steps": max(settings.eval_every // 5, 1),
        "seed": settings.seed,
        "data_seed": settings.seed,
        "bf16": settings.dtype == "bfloat16",
        "use_cpu": settings.cpu,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "report_to": "none",
        "dataloader_pin_memory": not settings.cpu,
        "disable_tqdm": settings.quiet,
    }
