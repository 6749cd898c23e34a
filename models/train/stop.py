"""Stopping a training on SIGTERM or SIGINT: the step is finished, a checkpoint saved, and the process ends."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback

from breakeven.models.errors import TrainingStopped

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopOnSignal(TrainerCallback):
    """Saves a checkpoint and ends the training after the step in which a signal arrives (see `listening`)."""

    def __init__(self) -> None:
        self._received: int | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Record the first SIGTERM or SIGINT; a second one has its usual effect. Only a main thread has signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}

        def record(number: int, _frame: FrameType | None) -> None:
            self._received = number
            for one, handler in before.items():
                signal.signal(one, handler)

        for number in _SIGNALS:
            signal.signal(number, record)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ARG002
        """Ask for a checkpoint once a signal has arrived at any process (called by the Trainer)."""
        if self._agreed(args):
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ARG002
        """End the training after that checkpoint (called by the Trainer when it has saved one)."""
        if self._received is not None:
            name = signal.Signals(self._received).name
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            raise TrainingStopped(f"{name}: saved {folder}; run the same command again to continue")

    def _agreed(self, args: Any) -> bool:
        """Whether a signal has arrived, at all processes in the same step: they save together."""
        if args.world_size > 1 and torch.distributed.is_initialized():
            seen = torch.tensor(self._received or 0, device=args.device)
            torch.distributed.all_reduce(seen, op=torch.distributed.ReduceOp.MAX)
            self._received = int(seen.item()) or None
        return self._received is not None
