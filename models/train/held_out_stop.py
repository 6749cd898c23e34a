"""Early stopping of a training by trl: what its own trainers measure on held-out rows is not what we compare."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from breakeven.router.files import write_atomically

_LOSSES, _BEST = "held-out.json", "held-out-best.pt"


class HeldOutStop(TrainerCallback):
    """Measures the held-out loss each `every` steps, ends the training after `patience` of them without a better one,
    and keeps the best weights, in files among the checkpoints.

    A resumed run repeats the steps since its checkpoint exactly, and so their losses.
    """

    def __init__(
        self, measure: Callable[[], float], trainer: Any, folder: Path, *, every: int, patience: int, before: float
    ) -> None:
        """`measure`: the loss of the model that is trained; `before`: that at the start."""
        self._measure = measure
        self._trainer = trainer
        self._folder = folder
        self._every = every
        self._patience = patience
        path = folder / _LOSSES
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"0": before}
        self._losses: dict[int, float] = {int(step): loss for step, loss in known.items()}

    @property
    def history(self) -> list[tuple[int, float]]:
        """The losses by step, those of steps that were done."""
        done = self._trainer.state.global_step
        return sorted((step, loss) for step, loss in self._losses.items() if step <= done)

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ARG002
        """Measure, and stop where it is due (called by the Trainer after a step)."""
        step = state.global_step
        if step % self._every and step != state.max_steps:
            return
        # Measuring must not change what is drawn in the training.
        with torch.random.fork_rng():
            self._losses[step] = self._measure()
        measured = [one for one in self.history if one[0]]
        best = min(measured, key=lambda one: one[1])[0]
        if state.is_world_process_zero:
            self._folder.mkdir(parents=True, exist_ok=True)
            if best == step:
                self._keep()
            write_atomically(self._folder / _LOSSES, json.dumps(self._losses) + "\n")
        if sum(one > best for one, _ in measured) >= self._patience:
            control.should_training_stop = True

    def restore(self) -> None:
        """Put the best weights back into the model, at the end of the training."""
        path = self._folder / _BEST
        if path.exists():
            kept = torch.load(path, weights_only=True, map_location="cpu")
            with torch.no_grad():
                for name, weight in self._trained():
                    weight.copy_(kept[name])

    def _keep(self) -> None:
        new = self._folder / f"{_BEST}.new"
        torch.save({name: weight.detach().cpu() for name, weight in self._trained()}, new)
        new.replace(self._folder / _BEST)

    def _trained(self) -> list[tuple[str, Any]]:
        model = self._trainer.accelerator.unwrap_model(self._trainer.model)
        return [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
