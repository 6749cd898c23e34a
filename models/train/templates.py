"""Chat templates of reasoning models: what they open before an answer, and the default that a student is served with.

Some open a block for thinking in the generation prompt (DeepSeek-R1, Qwen3-Thinking, Qwen3.5, Nemotron Nano), some
write a closed one where `enable_thinking` is false (Qwen3), some do neither.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from breakeven.models.client.thoughts import CLOSE, OPEN
from breakeven.models.errors import DistillError

# How a generation prompt ends: inside a block for thinking, after an empty one, or with neither.
Beginning = Literal["opened", "closed", "plain"]

# DeepSeek-V3.1 writes the closing mark alone.
_LAST_BLOCK = re.compile(rf"(?:{re.escape(OPEN)}\s*)?(?P<closed>{re.escape(CLOSE)}\s*)?$")
# Templates that take a switch read one of these variables.
_SWITCHES = ("enable_thinking", "thinking")
_PROBE = [{"role": "user", "content": "?"}]


def beginning(prompt: str) -> tuple[str, Beginning]:
    """The prompt up to its block for thinking, and how it ends."""
    found = _LAST_BLOCK.search(prompt)
    if found is None or not found[0]:
        return prompt, "plain"
    return prompt[: found.start()], "closed" if found["closed"] else "opened"


def switches(template: str) -> list[str]:
    """The variables by which a template is told whether to think; mostly none."""
    return [name for name in _SWITCHES if re.search(rf"(?<![\w.]){name}(?!\w)", template)]


def with_thinking(tokenizer: Any, *, thinking: bool) -> None:
    """Change the tokenizer's chat template so that it thinks, or does not, where nobody says otherwise: by its own
    switch, and where it has none and opens a block for thinking, by closing that. A request that gives
    `enable_thinking` still decides.

    The changed template is saved with the student, so that each server begins an answer as training did. Raises
    DistillError for thinking without a template that can be changed.
    """
    template = tokenizer.chat_template
    if not isinstance(template, str):
        raise DistillError("the student has several chat templates: keep the default one in its tokenizer_config.json")
    for name in switches(template):
        value = "true" if thinking else "false"
        template = f"{{%- if {name} is not defined %}}{{%- set {name} = {value} %}}{{%- endif %}}{template}"
    tokenizer.chat_template = template
    if thinking or state(tokenizer) != "opened":
        return
    tokenizer.chat_template = (
        f"{{%- set rendered %}}{template}{{% endset %}}{{{{- rendered }}}}"
        f"{{%- if add_generation_prompt and not enable_thinking|default(false) "
        f"and rendered.rstrip().endswith('{OPEN}') %}}"
        f"{{{{- ('' if rendered.endswith('\\n\\n') else '\\n' if rendered.endswith('\\n') else '\\n\\n') + "
        f"'{CLOSE}\\n\\n' }}}}{{%- endif %}}"
    )


def state(tokenizer: Any) -> Beginning:
    """How the generation prompt of the tokenizer's chat template ends. Raises DistillError where it has none."""
    try:
        prompt: str = tokenizer.apply_chat_template(_PROBE, add_generation_prompt=True, tokenize=False)
    except Exception as error:
        # Templates are programs of others, which raise what they like.
        said = " ".join(str(error).split())[:160]
        raise DistillError(
            f"the student's chat template refuses a plain question: {said}; mend it in the model's directory "
            "(chat_template.jinja)"
        ) from None
    return beginning(prompt)[1]
