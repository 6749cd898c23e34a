"""How much memory a training will need, from the config alone: the model is built on the meta device, without weights.

Counted are weights, gradients, Adam's two moments, the activations that the backward pass keeps (recorded from a
forward pass on the meta device) and the logits. Everything is on one device, as without FSDP.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM

from breakeven.models.errors import DistillError
from breakeven.models.train.encode import Row
from breakeven.models.train.losses import IGNORED
from breakeven.models.train.settings import TEXT_ONLY, Settings
from breakeven.models.train.shrink import shrunk_config

_ATTENTION = "distill_memory_estimate"
# The Python process with torch and its libraries, or a CUDA context.
_PROCESS = 1e9
# Gradient, weight copy and two moments of an adapter, all float32.
_TRAINED_FLOAT32 = 16
# NF4 with a float32 scale for 64 weights, quantized again.
_NF4 = 0.516
# Of a logit in float32: the logits, those of labelled positions, their log-softmax, and two gradients.
_LOGIT = 20
_RANK = 16


class Shape(NamedTuple):
    """The largest batch: `rows` of `length` tokens, of which `labelled` positions in each need logits."""

    rows: int
    length: int
    labelled: int


class Sizes(NamedTuple):
    """Of a model: parameters in all, those of linear layers that 4-bit weights replace, of adapters for each rank,
    vocabulary, bytes of kept activations for a batch in float32, and with gradient checkpointing.
    """

    parameters: int
    linear: int
    adapter: int
    vocabulary: int
    activations: float
    checkpointed: float


class Need(NamedTuple):
    """The options that choose a way of training, and the bytes that it needs."""

    options: str
    total: float


def estimate(settings: Settings, rows: Sequence[Row]) -> list[str]:
    """The lines to print before training on these encoded rows starts. Raises DistillError for invalid `--layers`."""
    shape = shape_of(rows, settings.batch_size)
    layers = settings.layers[0] if settings.layers else None
    teacher = None if settings.method in TEXT_ONLY else settings.teacher
    if settings.method == "dpo":  # Each pair is two sequences; without adapters its reference is a second model.
        shape = shape._replace(rows=2 * shape.rows)
        teacher = None if settings.lora else settings.student
    try:
        found = sizes(settings.student or settings.teacher, shape, layers=layers, eager=settings.attention == "eager")
        taught = sizes(teacher, Shape(1, 8, 1)).parameters if teacher else 0
    except DistillError:
        raise
    except Exception as error:  # Configs and models are programs of others; loading the model says what is wrong.
        return [f"memory: no estimate for this model: {' '.join(str(error).split())[:120]}"]
    chosen, others = needs(found, shape, settings, taught)
    return lines(chosen, others, *available(cpu=settings.cpu), checkpointed=settings.gradient_checkpointing)


def shape_of(rows: Sequence[Row], batch_size: int) -> Shape:
    """The shape of a batch of the longest rows."""
    longest = max(len(row["input_ids"]) for row in rows)
    first = min(next((i for i, one in enumerate(row["labels"]) if one != IGNORED), 0) for row in rows)
    return Shape(min(batch_size, len(rows)), longest, longest - first)


def sizes(folder: Any, shape: Shape, *, layers: int | None = None, eager: bool = False) -> Sizes:
    """The sizes of the model in a directory, of which only config.json is read.

    `eager` keeps whole attention matrices, as the attention implementation of this name does.
    """
    config = AutoConfig.from_pretrained(str(folder))
    if layers is not None:
        config = shrunk_config(config, layers)
    AttentionInterface.register(_ATTENTION, _attention)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager" if eager else _ATTENTION)
    head = model.get_output_embeddings()
    inner = [one for one in model.modules() if isinstance(one, torch.nn.Linear) and one is not head]
    text = config.get_text_config()
    tokens = shape.rows * shape.length
    kept = _kept(model, shape, eager=eager) or tokens * 4 * text.num_hidden_layers * _usual(text)
    return Sizes(
        sum(p.numel() for p in model.parameters()),
        sum(one.weight.numel() for one in inner),
        sum(one.in_features + one.out_features for one in inner),
        text.vocab_size,
        kept,
        # The input of each layer, and what one layer keeps while it is computed again.
        tokens * 4 * text.hidden_size * text.num_hidden_layers + kept / text.num_hidden_layers,
    )


def needs(made: Sizes, shape: Shape, settings: Settings, teacher_parameters: int = 0) -> tuple[Need, list[Need]]:
    """What the settings need, and the other ways of training that could be chosen, the most demanding first."""

    def need(options: str, *, rank: int, weights: str, four_bit: bool = False) -> Need:
        narrow = weights == "bfloat16"
        size = 2 if narrow else 4
        computed = 2 if narrow or settings.dtype == "bfloat16" else 4
        held: float = made.parameters * size
        if four_bit:
            held = made.linear * _NF4 + (made.parameters - made.linear) * 2
        elif computed < size:
            held += made.parameters * computed  # Autocast keeps a copy of the weights for the step.
        trained = made.adapter * rank * _TRAINED_FLOAT32 if rank else made.parameters * size * 3
        kept = made.checkpointed if settings.gradient_checkpointing else made.activations
        logits = shape.rows * shape.labelled * made.vocabulary * _LOGIT
        return Need(options, _PROCESS + held + trained + kept * computed / 4 + logits + teacher_parameters * size)

    rank = settings.lora or _RANK
    four_bit = settings.method == "qlora"
    weights = "bfloat16" if four_bit else settings.weights
    chosen = need("these settings", rank=settings.lora, weights=weights, four_bit=four_bit)
    others = [
        need("full", rank=0, weights="float32"),
        need("full with --weights bfloat16", rank=0, weights="bfloat16"),
        need(f"--lora {rank} --weights bfloat16", rank=rank, weights="bfloat16"),
        need("--method qlora", rank=rank, weights="bfloat16", four_bit=True),
    ]
    return chosen, others


def lines(chosen: Need, others: Sequence[Need], available: float, device: str, *, checkpointed: bool) -> list[str]:
    """The lines to print before training starts; the last one is a warning where the settings do not fit."""
    known = "; ".join(f"{one.options} {_gb(one.total)}" for one in others)
    here = f"this machine has {_gb(available)} ({device})"
    shown = [f"memory, estimated: {chosen.options} {_gb(chosen.total)}; {known}; {here}"]
    if chosen.total > available:
        fits = next((one.options for one in others if one.total <= available), None)
        hint = f"{fits} fits" if fits else "nothing of these fits: lower --batch-size and --max-length"
        more = "" if checkpointed else "; --gradient-checkpointing needs less"
        shown.append(f"warning: these settings need more memory than there is; {hint}{more}")
    return shown


def available(*, cpu: bool) -> tuple[float, str]:
    """The bytes of memory of the device that trains, and what it is."""
    if not cpu and torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[1]), torch.cuda.get_device_name()
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # A container may have less; without a limit the file says `max`.
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return float(total), "RAM"


def _gb(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count < 20e9 else f"{count / 1e9:.0f} GB"


def _usual(text: Any) -> int:
    """The elements that an ordinary decoder layer keeps for each token, for models that the meta device cannot run."""
    width = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    if experts := getattr(text, "num_experts_per_tok", 0):
        width = (getattr(text, "moe_intermediate_size", None) or width) * experts
    return int(14 * text.hidden_size + 5 * width)


def _kept(model: Any, shape: Shape, *, eager: bool) -> float:
    """The bytes of the tensors, parameters aside, that a forward pass keeps for the backward pass; 0 if it fails."""
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    seen: dict[int, int] = {}
    held: list[Any] = []

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage._cdata not in own and storage._cdata not in seen:
            seen[storage._cdata] = storage.nbytes()
            held.append(tensor)  # So that no other tensor gets its address.
        return tensor

    model.train()
    ids = torch.zeros(shape.rows, shape.length, dtype=torch.long, device=model.device)
    # Ready-made, since one cannot be made from values that do not exist.
    mask = (
        {"attention_mask": torch.zeros(shape.rows, 1, shape.length, shape.length, device=model.device)} if eager else {}
    )
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(input_ids=ids, use_cache=False, logits_to_keep=1, **mask)
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError):
        return 0.0
    return float(sum(seen.values()))


class _Fused(torch.autograd.Function):
    """Keeps what a fused attention keeps: its inputs and its output, never the matrix of scores."""

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any) -> Any:
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, out)
        return out


def _attention(_module: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> tuple[Any, None]:
    groups = query.shape[1] // key.shape[1]
    key, value = (one.repeat_interleave(groups, 1) if groups > 1 else one for one in (key, value))
    return _Fused.apply(query, key, value).transpose(1, 2).contiguous(), None
