"""Chat templates without a system role, such as Gemma's: system messages go before the first user message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jinja2 import TemplateError

from breakeven.models.data.rows import Example

_SYSTEM = ("system", "developer")
# Put before a template, it does in serving what was done in training.
_MERGED = (
    "{%- if messages|length > 1 and messages[0]['role'] in ('system', 'developer') -%}"
    "{%- set messages = [{'role': 'user', 'content': messages[0]['content'] + '\\n\\n' + messages[1]['content']}]"
    " + messages[2:] -%}{%- endif -%}"
)


def allow_system(tokenizer: Any, examples: Sequence[Example], say: Callable[[str], None]) -> None:
    """Where rows have a system message and the tokenizer's template refuses it, change the template: the system message
    begins the first user message. The changed one is saved with the model, so that serving uses it too.
    """
    role = next((one.prompt[0]["role"] for one in examples if one.prompt[0]["role"] in _SYSTEM), None)
    template = tokenizer.chat_template
    if role is None or not isinstance(template, str) or _accepts(tokenizer, role):
        return
    tokenizer.chat_template = _MERGED + template
    if _accepts(tokenizer, role):
        say("the chat template has no system role: system messages begin the first user message, when served as well")
    else:  # Something else is wrong with it, which encoding the rows tells.
        tokenizer.chat_template = template


def _accepts(tokenizer: Any, role: str) -> bool:
    """Whether the template renders a system message, and does not leave it out."""
    turns = [{"role": role, "content": "SYSTEM"}, {"role": "user", "content": "USER"}]
    try:
        return "SYSTEM" in tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    except TemplateError:
        return False
