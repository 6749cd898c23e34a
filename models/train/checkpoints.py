"""What a training leaves on disk while it runs: checkpoints, the best weights, and the time it took."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from breakeven.models.errors import DistillError
from breakeven.router.files import write_atomically


class BestWeights(TrainerCallback):
    """Keeps the weights of the best evaluation where checkpoints are saved at other steps than evaluations.

    The Trainer can only load the best of its checkpoints. This saves the weights alone, without the optimizer's state,
    and tells the Trainer to load them at the end. Raises DistillError with FSDP or DeepSpeed, whose weights are only
    in whole checkpoints.
    """

    def __init__(self, trainer: Any, folder: Path) -> None:
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            raise DistillError(
                "--save-every: with FSDP or DeepSpeed checkpoints are saved at evaluations; leave it out"
            )
        self._trainer = trainer
        self._folder = folder
        # Its own check would refuse steps of saving that are not those of evaluation.
        trainer.args.load_best_model_at_end = True

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **more: Any) -> None:  # noqa: ARG002
        """Save the weights if the eval loss is the lowest so far (called by the Trainer after an evaluation)."""
        # The evaluation before the first step is not one of the trained weights.
        if not state.global_step:
            return
        loss = (metrics or {}).get(f"eval_{args.metric_for_best_model.removeprefix('eval_')}")
        if loss is None or (state.best_metric is not None and loss >= state.best_metric):
            return
        new = self._folder.with_name(f"{self._folder.name}.new")
        self._trainer.save_model(str(new), _internal_call=True)
        if state.is_world_process_zero:
            shutil.rmtree(self._folder, ignore_errors=True)
            new.rename(self._folder)
        self._trainer.accelerator.wait_for_everyone()
        state.best_model_checkpoint = str(self._folder)


class TrainingClock(TrainerCallback):
    """Measures the training time over all runs, stored in a file at each checkpoint."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = json.loads(path.read_text())["seconds"] if path.exists() else 0.0
        self._start = time.monotonic()

    def seconds(self) -> float:
        """The seconds of training so far, including those of earlier runs up to their last checkpoint."""
        return float(self._before + time.monotonic() - self._start)

    def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ARG002
        """Store the seconds (called by the Trainer when it saved a checkpoint)."""
        if state.is_world_process_zero:
            write_atomically(self._path, json.dumps({"seconds": self.seconds()}) + "\n")


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint in a directory, or None.

    The state is written last: a checkpoint without it was interrupted, and is removed.
    """
    found: list[tuple[int, Path]] = []
    for path in folder.glob("checkpoint-*"):
        try:
            state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
            found.append((int(state["global_step"]), path))
        except (OSError, ValueError, KeyError, TypeError):
            shutil.rmtree(path, ignore_errors=True)
    return max(found, default=(0, None))[1]
