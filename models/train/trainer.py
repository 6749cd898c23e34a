"""The Trainer of transformers, extended with the losses of distillation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from breakeven.models.train import losses
from breakeven.models.train.checkpoints import BestWeights, TrainingClock
from breakeven.models.train.encode import Row, collator
from breakeven.models.train.shrink import text_config

PROJECTIONS = "distill_projections"
_OWN = ("labels", "weights", "soft_ids", "soft_logprobs")


class Objective(NamedTuple):
    """What to optimize: the method, the temperature of the KL term, the `weight` of the soft targets, and the weight of
    the hidden-state distance over `pairs` of (student, teacher) hidden states, of which 0 is the embeddings.
    """

    method: str
    temperature: float = 2.0
    weight: float = 0.5
    feature_weight: float = 1.0
    pairs: tuple[tuple[int, int], ...] = ()


class Schedule(NamedTuple):
    """The length of the training, the learning rate and when to evaluate.

    `max_steps`: 0 to use `epochs`; `patience`: evaluations without a better loss before early stopping, 0 for none;
    `save_every`: steps between checkpoints, 0 for one at each evaluation; `checkpointing`: compute activations again
    in the backward pass instead of keeping them; `flat`: batches of packed rows without padding.
    """

    epochs: float
    max_steps: int
    batch_size: int
    accumulate: int
    learning_rate: float
    eval_every: int
    patience: int
    seed: int
    bfloat16: bool
    cpu: bool
    quiet: bool
    save_every: int = 0
    checkpointing: bool = False
    flat: bool = False


class DistillTrainer(Trainer):
    """Trains on the objective; evaluates on cross-entropy alone, so that methods can be compared."""

    def __init__(self, *, objective: Objective, teacher: Any = None, **more: Any) -> None:
        super().__init__(**more)
        self.objective = objective
        self.teacher = teacher
        if teacher is not None:
            freeze(teacher)
            teacher.to(self.args.device)
        # The losses are means over a batch: let the Trainer divide them by the accumulation steps.
        self.model_accepts_loss_kwargs = False

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Any:
        """The loss of one batch; with `return_outputs` a pair of it and a dict with the loss and the logits."""
        seen = {name: value for name, value in inputs.items() if name not in _OWN}
        features = model.training and self.objective.method == "feature"
        # With a KV cache transformers would attend across packed rows. Logits take most of the memory and, in a small
        # model, a fifth of the time, so that they are only computed where a label follows.
        positions = losses.label_positions(inputs["labels"])
        outputs = model(**seen, use_cache=False, output_hidden_states=features, logits_to_keep=positions)
        logits, labels, mask = losses.select(outputs.logits, inputs["labels"], positions)
        loss = losses.cross_entropy(logits, labels, _weights(inputs))
        if model.training and self.objective.method != "sft":
            loss = self._distillation_loss(loss, logits, mask, inputs, {**seen, "logits_to_keep": positions}, outputs)
        return (loss, {"loss": loss, "logits": outputs.logits}) if return_outputs else loss

    def _distillation_loss(
        self, hard: Any, logits: Any, mask: Any, inputs: dict[str, Any], seen: dict[str, Any], outputs: Any
    ) -> Any:
        """The loss with the KL term, and for `feature` the hidden-state distance, added to the cross-entropy `hard`."""
        goal = self.objective
        labelled, weights = inputs["labels"][:, 1:] != losses.IGNORED, _weights(inputs)
        if self.teacher is None:
            ids, logprobs = (inputs[name][:, 1:][labelled] for name in ("soft_ids", "soft_logprobs"))
            soft = losses.topk_divergence(logits, ids, logprobs, goal.temperature, weights)
            return losses.blend(hard, soft, goal.weight)
        features = goal.method == "feature"
        with torch.no_grad():
            taught = self.teacher(**seen, use_cache=False, output_hidden_states=features)
        wanted = taught.logits[mask]
        # Vocabularies may be padded to different sizes; beyond the smaller one there are no tokens.
        common = min(wanted.shape[-1], logits.shape[-1])
        soft = losses.divergence(logits[:, :common], wanted[:, :common], goal.temperature, weights)
        loss = losses.blend(hard, soft, goal.weight)
        if not features:
            return loss
        projections = getattr(self.accelerator.unwrap_model(self.model), PROJECTIONS)
        distances = [
            losses.hidden_distance(
                project(outputs.hidden_states[own][:, :-1][labelled].to(project.weight.dtype)),
                taught.hidden_states[other][:, :-1][labelled],
                weights,
            )
            for project, (own, other) in zip(projections, goal.pairs, strict=True)
        ]
        return loss + goal.feature_weight * torch.stack(distances).mean()


def _weights(inputs: dict[str, Any]) -> Any:
    """The weights (m,) of the labelled positions of a batch, in the order of `losses.select`; None if all are 1."""
    if "weights" not in inputs:
        return None
    return inputs["weights"][:, 1:][inputs["labels"][:, 1:] != losses.IGNORED]


class LossPrinter(TrainerCallback):
    """Prints each logged loss, for output without a progress bar."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:  # noqa: ARG002
        """Print the losses (called by the Trainer when it logged)."""
        for name, title in (("loss", "loss"), ("eval_loss", "eval loss")):
            if name in (logs or {}):
                self._say(f"step {state.global_step} of {state.max_steps}: {title} {float(logs[name]):.4f}")


def freeze(model: Any) -> None:
    """Switch off a model's gradients and dropout."""
    model.eval()
    model.requires_grad_(False)


def add_projections(student: Any, teacher: Any, pairs: Sequence[tuple[int, int]]) -> None:
    """Add trainable linear maps from the student's hidden size to the teacher's to the student, one for each pair.

    They start as the identity where both sizes are equal.
    """
    own, other = (text_config(model).hidden_size for model in (student, teacher))
    maps = torch.nn.ModuleList(torch.nn.Linear(own, other, bias=False) for _ in pairs)
    if own == other:
        for one in maps:
            torch.nn.init.eye_(one.weight)
    student.add_module(PROJECTIONS, maps.to(student.dtype))


def build_trainer(
    student: Any,
    teacher: Any,
    objective: Objective,
    schedule: Schedule,
    rows: list[Row],
    held_out: list[Row],
    pad_id: int,
    folder: Path,
    say: Callable[[str], None],
) -> tuple[DistillTrainer, TrainingClock]:
    """A trainer that saves its checkpoints in `folder`, and its clock.

    `rows` and `held_out` are encoded rows, `pad_id` the padding token; `say` prints losses if the schedule is quiet.
    Without held-out rows there is no evaluation and no early stopping.
    """
    clock = TrainingClock(folder.parent / f"{folder.name}-clock.json")
    callbacks: list[Any] = [clock]
    if held_out and schedule.patience:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=schedule.patience))
    trainer = DistillTrainer(
        model=student,
        objective=objective,
        teacher=teacher,
        args=_arguments(schedule, folder, evaluated=bool(held_out)),
        train_dataset=rows,
        eval_dataset=held_out or None,
        data_collator=collator(pad_id, flat=schedule.flat),
        callbacks=callbacks,
    )
    if held_out and schedule.save_every not in (0, schedule.eval_every):
        trainer.add_callback(BestWeights(trainer, folder / "best"))
    trainer.remove_callback(PrinterCallback)
    if schedule.quiet:
        trainer.add_callback(LossPrinter(say))
    return trainer, clock


def _arguments(schedule: Schedule, folder: Path, *, evaluated: bool) -> TrainingArguments:
    # With checkpoints apart from evaluations, BestWeights keeps the best ones.
    save_every = schedule.save_every or schedule.eval_every
    together = save_every == schedule.eval_every
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=schedule.epochs,
        max_steps=schedule.max_steps or -1,
        per_device_train_batch_size=schedule.batch_size,
        per_device_eval_batch_size=schedule.batch_size,
        gradient_accumulation_steps=schedule.accumulate,
        learning_rate=schedule.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        weight_decay=0.01,
        eval_strategy="steps" if evaluated else "no",
        eval_steps=schedule.eval_every,
        save_strategy="steps",
        save_steps=save_every,
        save_total_limit=2,
        load_best_model_at_end=evaluated and together,
        metric_for_best_model="eval_loss" if evaluated else None,
        greater_is_better=False if evaluated else None,
        eval_on_start=evaluated,
        logging_steps=max(schedule.eval_every // 5, 1),
        seed=schedule.seed,
        data_seed=schedule.seed,
        bf16=schedule.bfloat16,
        gradient_checkpointing=schedule.checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if schedule.checkpointing else None,
        use_cpu=schedule.cpu,
        remove_unused_columns=False,
        label_names=["labels"],
        prediction_loss_only=True,
        report_to="none",
        dataloader_pin_memory=not schedule.cpu,
        ddp_find_unused_parameters=False,
        disable_tqdm=schedule.quiet,
    )
