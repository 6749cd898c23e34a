"""The command `breakeven distill train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from breakeven.models.cli.investment import enter_investment
from breakeven.models.cli.options import INCOMPLETE, Config, SkipBad
from breakeven.models.errors import DistillError, TrainingStopped
from breakeven.models.train.settings import ATTENTION, QLORA_RANK, Method, Settings, layer_pairs, numbers

_BETAS = {"dpo": 0.1, "on-policy": 1.0, "gold": 0.5}

Layers = Annotated[
    str | None, typer.Option(help="Layers to keep; with progressive one number per stage, such as 12,6.")
]
Lora = Annotated[int, typer.Option(min=0, help="Rank of LoRA adapters, merged at the end; 0 trains all weights.")]
Packing = Annotated[
    bool, typer.Option("--packing", help="Pack several rows into one sequence, without attention between them.")
]
Temperature = Annotated[
    float, typer.Option(min=0.01, help="Temperature that softens both distributions in the KL term.")
]
SoftWeight = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Weight of the KL term; cross-entropy gets 1 - weight.")
]
FeatureLayers = Annotated[
    str | None, typer.Option(help="Pairs of student and teacher layers to match, such as 2:4,6:12.")
]
Patience = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Evaluations without improvement before early stopping; 0 disables it; default: 3, and none with dpo.",
    ),
]
LearningRate = Annotated[
    float | None, typer.Option(min=0.0, help="Peak learning rate; by default 1e-4, and with dpo 1e-6 (LoRA: 1e-5).")
]
Beta = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="Of dpo, how strongly the first weights hold (0.1); of on-policy and gold, 0 for forward KL to 1 for "
        "reverse KL (1 and 0.5).",
    ),
]
CompletionTokens = Annotated[
    int, typer.Option(min=1, help="Maximum tokens of answers that on-policy and gold generate in training.")
]
SaveEvery = Annotated[int, typer.Option(min=0, help="Steps between checkpoints; 0 saves one at each evaluation.")]
Weights = Annotated[
    str, typer.Option(help="Type of the weights: float32, or bfloat16, half the memory but small updates are lost.")
]
Checkpointing = Annotated[
    bool, typer.Option("--gradient-checkpointing", help="Recompute activations: less memory, about a third slower.")
]
Estimate = Annotated[bool, typer.Option("--estimate", help="Print the memory that is needed; do not train.")]
Attention = Annotated[str, typer.Option(help="auto, sdpa, eager, flash_attention_2 or flash_attention_3.")]
Reasoning = Annotated[
    str, typer.Option(help="What a reasoning teacher thought before its answers: keep (train on it) or drop.")
]
EnableThinking = Annotated[
    bool | None,
    typer.Option(
        "--enable-thinking/--no-enable-thinking",
        help="Whether the chat template has the student think, in training and by default in serving; default: only "
        "with --reasoning keep.",
    ),
]
Teacher = Annotated[
    Path | None, typer.Option(help="Teacher model of white-box methods: a directory, or a name on the hub.")
]
Rows = Annotated[
    list[Path], typer.Argument(help="Rows with answers, such as train.jsonl; files, folders, names on the hub.")
]
Student = Annotated[Path | None, typer.Option(help="Model to start from: a directory, or a name on the hub.")]


def train(
    context: typer.Context,
    rows: Rows,
    out: Annotated[Path, typer.Option(help="Directory of the model. Run again with the same one to resume.")],
    method: Annotated[str, typer.Option(help=f"{', '.join(get_args(Method))}.")] = "sft",
    held_out: Annotated[list[Path] | None, typer.Option("--eval", help="Held-out rows, such as eval.jsonl.")] = None,
    student: Student = None,
    teacher: Teacher = None,
    layers: Layers = None,
    lora: Lora = 0,
    epochs: Annotated[float, typer.Option(min=0.0, help="Number of passes over the rows.")] = 3.0,
    max_steps: Annotated[int, typer.Option(min=0, help="Number of optimizer steps; 0 uses --epochs.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows per device and forward pass.")] = 8,
    accumulate: Annotated[int, typer.Option(min=1, help="Gradient accumulation: batches per optimizer step.")] = 1,
    learning_rate: LearningRate = None,
    max_length: Annotated[int, typer.Option(min=8, help="Maximum tokens of a row; longer rows are left out.")] = 1024,
    packing: Packing = False,
    temperature: Temperature = 2.0,
    soft_weight: SoftWeight = 0.5,
    feature_weight: Annotated[float, typer.Option(min=0.0, help="Weight of the hidden-state distance.")] = 1.0,
    feature_layers: FeatureLayers = None,
    beta: Beta = None,
    completion_tokens: CompletionTokens = 128,
    eval_every: Annotated[int, typer.Option(min=1, help="Steps between evaluations.")] = 50,
    save_every: SaveEvery = 0,
    patience: Patience = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same model.")] = 1,
    dtype: Annotated[str, typer.Option(help="float32, or bfloat16 for mixed precision.")] = "float32",
    weights: Weights = "float32",
    gradient_checkpointing: Checkpointing = False,
    attention: Attention = "auto",
    quantize: Annotated[str, typer.Option(help="Also write a quantized model: w8a8 or w4a16.")] = "none",
    estimate: Estimate = False,
    cpu: Annotated[bool, typer.Option("--cpu", help="Train on the CPU even if there is a GPU.")] = False,
    reasoning: Reasoning = "drop",
    enable_thinking: EnableThinking = None,
    skip_bad: SkipBad = False,
    usd_per_hour: Annotated[float, typer.Option(min=0.0, help="Price of the training machine in USD per hour.")] = 0.0,
    config: Config = None,
) -> None:
    """Train a student on the teacher's answers and write a model directory for vLLM."""
    settings = _settings(dict(locals()))
    from breakeven.models.train import train as training

    if estimate:
        for line in training.estimate(settings, _say):
            typer.echo(line)
        return
    try:
        facts = training.train(settings, _say)
    except TrainingStopped as stopped:
        _say(f"breakeven: stopped: {stopped}")
        raise typer.Exit(INCOMPLETE) from None
    if not training.is_first_process():
        return
    for line in training.summary(facts, out):
        typer.echo(line)
    enter_investment(context, config, f"training:{out.name}", facts["usd"])


def _say(line: str) -> None:
    """Print a line of progress, once where several processes train."""
    from breakeven.models.train.train import is_first_process

    if is_first_process():
        typer.echo(line, err=True)


def _settings(options: dict[str, Any]) -> Settings:
    """The settings of a training from the command's options by name. Raises DistillError for an invalid one."""
    for name in ("dtype", "weights"):
        if options[name] not in ("float32", "bfloat16"):
            raise DistillError(f"--{name} {options[name]}: must be float32 or bfloat16")
    if options["attention"] not in ATTENTION:
        raise DistillError(f"--attention {options['attention']}: must be {', '.join(ATTENTION)}")
    method, lora = options["method"], options["lora"]
    if method == "qlora":
        options |= {"lora": lora or QLORA_RANK, "weights": "bfloat16"}
    if options["patience"] and method == "dpo":
        raise DistillError(
            "--patience: dpo has no early stopping, as the loss of held-out answers is not its aim; leave it out"
        )
    if options["patience"] is None:
        options["patience"] = Settings._field_defaults["patience"]
    rate, beta = options["learning_rate"], options["beta"]
    if rate is None:
        options["learning_rate"] = (1e-5 if lora else 1e-6) if method == "dpo" else 1e-4
    if beta is None:
        options["beta"] = _BETAS.get(method, 0.0)
    same = {name: value for name, value in options.items() if name in Settings._fields}
    return Settings(
        **same
        | {
            "rows": tuple(options["rows"]),
            "held_out": tuple(options["held_out"] or ()),
            "layers": numbers("--layers", options["layers"]),
            "weight": options["soft_weight"],
            "pairs": layer_pairs("--feature-layers", options["feature_layers"]),
            "quiet": not sys.stderr.isatty(),
        }
    )
