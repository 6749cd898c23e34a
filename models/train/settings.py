"""The settings of a training run, and parsing of the options that are lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from breakeven.models.data.hub import shown
from breakeven.models.errors import DistillError

Method = Literal["sft", "logit", "feature", "progressive", "qlora", "dpo", "on-policy", "gold"]
# Those that a trainer of trl runs.
TRL: tuple[str, ...] = ("dpo", "on-policy", "gold")
# Those that learn from texts alone, whatever --teacher says.
TEXT_ONLY: tuple[str, ...] = ("sft", "qlora", "dpo")
QLORA_RANK = 16
# The folder in a model directory with the adapters alone.
ADAPTERS = "adapters"
ATTENTION = ("auto", "sdpa", "eager", "flash_attention_2", "flash_attention_3")


class Settings(NamedTuple):
    """What to train, on which data, and how.

    `rows` and `held_out`: files of rows with answers. `student`, `teacher`: model directories. `layers`: how many
    layers of the base model the student keeps; with `progressive` one number for each stage. `lora`: the rank, 0 to
    train all weights. `weight`: of the soft targets, with 1 - weight for the cross-entropy. `pairs`: the hidden states
    of student and teacher to match; empty for four evenly spaced ones. `patience`: evaluations without a better eval
    loss before early stopping. `save_every`: steps between checkpoints, 0 for one at each evaluation. `dtype`: bfloat16
    for mixed precision; `weights`: the type in which weights are kept and updated. `attention`: an implementation of
    transformers, `auto` for its choice. `quantize`: a scheme of `train.quantize`, which may be added to a finished run.
    `beta`: of `dpo`, the strength of the tie to the first weights; of `on-policy` and `gold`, the divergence from
    forward (0) to reverse KL (1). `completion_tokens`: at most, of answers that the student generates in training.
    `quiet`: print lines instead of a progress bar. `reasoning`: keep or drop what the teacher thought before its
    answers. `enable_thinking`: how the chat template begins an answer, in training and in serving; None: as `reasoning`
    needs.
    """

    rows: tuple[Path, ...]
    held_out: tuple[Path, ...]
    out: Path
    method: str
    student: Path | None
    teacher: Path | None = None
    layers: tuple[int, ...] = ()
    lora: int = 0
    epochs: float = 3.0
    max_steps: int = 0
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float = 1e-4
    max_length: int = 1024
    packing: bool = False
    temperature: float = 2.0
    weight: float = 0.5
    feature_weight: float = 1.0
    pairs: tuple[tuple[int, int], ...] = ()
    eval_every: int = 50
    patience: int = 3
    seed: int = 1
    dtype: str = "float32"
    cpu: bool = False
    skip_bad: bool = False
    usd_per_hour: float = 0.0
    quiet: bool = True
    quantize: str = "none"
    save_every: int = 0
    weights: str = "float32"
    gradient_checkpointing: bool = False
    attention: str = "auto"
    beta: float = 0.0
    completion_tokens: int = 128
    reasoning: str = "drop"
    enable_thinking: bool | None = None

    @property
    def thinking(self) -> bool:
        """Whether the student is to think before it answers, unless a request says otherwise."""
        return self.reasoning == "keep" if self.enable_thinking is None else self.enable_thinking

    @property
    def stops_early(self) -> bool:
        """Whether a held-out loss that no longer falls ends the training."""
        # What dpo learns makes the held-out answers less likely.
        return bool(self.patience) and self.method != "dpo"

    @property
    def has_adapters(self) -> bool:
        """Whether it trains adapters that a server of the model it begins with can load."""
        return bool(self.lora) and not self.layers

    def fixed(self) -> dict[str, Any]:
        """The settings that a resumed run must share with the interrupted one, as a dict for JSON."""
        free = {"out", "rows", "held_out", "usd_per_hour", "quiet", "skip_bad", "cpu", "quantize"}
        # These change where and how the same numbers are computed, so that a run out of memory can go on with them.
        free |= {"save_every", "gradient_checkpointing", "attention"}
        made = {name: value for name, value in self._asdict().items() if name not in free}
        made |= {name: None if made[name] is None else shown(made[name]) for name in ("student", "teacher")}
        made |= {"layers": list(self.layers), "pairs": [list(pair) for pair in self.pairs]}
        return made


def numbers(option: str, text: str | None) -> tuple[int, ...]:
    """The whole numbers in a comma-separated option. Raises DistillError where it has anything else."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise DistillError(f"{option} {text}: must be whole numbers separated by commas, such as 12,6") from None


def layer_pairs(option: str, text: str | None) -> tuple[tuple[int, int], ...]:
    """The student:teacher pairs of whole numbers in a comma-separated option. Raises DistillError for anything else."""
    try:
        found = [part.split(":") for part in text.split(",")] if text else []
        return tuple((int(own), int(other)) for own, other in found)
    except ValueError:
        raise DistillError(f"{option} {text}: must be pairs such as 2:4,6:12 (student's layer:teacher's)") from None
