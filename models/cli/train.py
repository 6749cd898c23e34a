"""The verb `breakeven distill train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from breakeven.models.cli.investment import enter_investment
from breakeven.models.errors import DistillError
from breakeven.models.train.settings import Settings, layer_pairs, numbers


def train(
    context: typer.Context,
    rows: Annotated[list[Path], typer.Argument(help="Rows with the teacher's answers: train.jsonl.")],
    out: Annotated[Path, typer.Option(help="Directory of the model; the same again goes on.")],
    method: Annotated[str, typer.Option(help="sft, logit, feature or progressive.")] = "sft",
    held_out: Annotated[list[Path] | None, typer.Option("--eval", help="Held-out rows: eval.jsonl.")] = None,
    student: Annotated[Path | None, typer.Option(help="Directory of the model to start from.")] = None,
    teacher: Annotated[Path | None, typer.Option(help="Directory of a white-box teacher.")] = None,
    layers: Annotated[str | None, typer.Option(help="Keep so many of its layers; progressive: such as 12,6.")] = None,
    lora: Annotated[int, typer.Option(min=0, help="Rank of LoRA adapters, merged at the end; 0: all weights.")] = 0,
    epochs: Annotated[float, typer.Option(min=0.0, help="Passes over the rows.")] = 3.0,
    max_steps: Annotated[int, typer.Option(min=0, help="Steps instead of epochs.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows a step on each device.")] = 8,
    accumulate: Annotated[int, typer.Option(min=1, help="Batches before the weights change.")] = 1,
    learning_rate: Annotated[float, typer.Option(min=0.0, help="At its highest.")] = 1e-4,
    max_length: Annotated[int, typer.Option(min=8, help="Tokens of a row; longer ones are left out.")] = 1024,
    packing: Annotated[bool, typer.Option("--packing", help="Several rows in one, kept apart.")] = False,
    temperature: Annotated[float, typer.Option(min=0.01, help="That softens both distributions.")] = 2.0,
    soft_weight: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the KL; the rest is the text's.")] = 0.5,
    feature_weight: Annotated[float, typer.Option(min=0.0, help="Of the hidden states' distance.")] = 1.0,
    feature_layers: Annotated[str | None, typer.Option(help="student:teacher pairs, such as 2:4,6:12.")] = None,
    eval_every: Annotated[int, typer.Option(min=1, help="Steps between evaluations and checkpoints.")] = 50,
    patience: Annotated[int, typer.Option(min=0, help="Stop after so many without a better loss; 0: never.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same model.")] = 1,
    dtype: Annotated[str, typer.Option(help="float32, or bfloat16 for mixed precision.")] = "float32",
    quantize: Annotated[str, typer.Option(help="none, w8a8 or w4a16: also a model in fewer bits.")] = "none",
    cpu: Annotated[bool, typer.Option("--cpu", help="Leave a GPU alone.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without bad rows.")] = False,
    usd_per_hour: Annotated[float, typer.Option(min=0.0, help="What this machine costs.")] = 0.0,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Enter the cost into its ledger.")] = None,
) -> None:
    """Train a student on the teacher's answers and write a model directory that vLLM serves."""
    settings = _settings(dict(locals()))
    from breakeven.models.train import train as training

    facts = training.train(settings, lambda line: typer.echo(line, err=True) if training.is_first_process() else None)
    if not training.is_first_process():
        return
    for line in training.summary(facts, out):
        typer.echo(line)
    enter_investment(context, config, f"training:{out.name}", facts["usd"])


def _settings(options: dict[str, Any]) -> Settings:
    """The settings of the verb's options, by their names. Raises DistillError."""
    if options["dtype"] not in ("float32", "bfloat16"):
        raise DistillError(f"--dtype {options['dtype']}: must be float32 or bfloat16")
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
