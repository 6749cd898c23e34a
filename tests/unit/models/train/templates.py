"""Chat templates with the patterns of the reasoning families, reduced to what concerns thinking, turns and tools."""

from __future__ import annotations

_TURN = "'<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n'"
_CALLS = (
    "{%- for c in m.tool_calls %}{{- '<tool_call>' + c.function.name + ' ' + (c.function.arguments | tojson) "
    "+ '</tool_call>' }}{%- endfor %}"
)
_TOOLS = "{%- if tools %}{{- '<tools>' + (tools | tojson) + '</tools>\\n' }}{%- endif %}"
# The last turns, after the last user's message, are rendered with what was thought in them; earlier ones are not.
_QWEN = (
    _TOOLS + "{%- set ns = namespace(last=0) %}{%- for m in messages %}{%- if m.role == 'user' %}"
    "{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}"
    "{%- for m in messages %}{%- if m.role != 'assistant' %}{{- " + _TURN + " }}{%- else %}"
    "{{- '<|im_start|>assistant\\n' }}{%- if loop.index0 > ns.last %}"
    "{{- '<think>\\n' + (m.reasoning_content or '') + '\\n</think>\\n\\n' }}{%- endif %}{{- m.content }}"
    + _CALLS
    + "{{- '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
)
QWEN3 = (
    _QWEN + "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}"
    "{%- endif %}{%- endif %}"
)
QWEN3_5 = (
    _QWEN + "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}"
    "{%- else %}{{- '<think>\\n' }}{%- endif %}{%- endif %}"
)
# Qwen3-Thinking-2507: it always opens.
QWEN3_THINKING = _QWEN + "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}"
# DeepSeek-R1 and its distills: what was thought is cut off answers, and the generation prompt opens.
R1 = (
    "{%- for m in messages %}{%- if m.role != 'assistant' %}{{- " + _TURN + " }}{%- else %}"
    "{{- '<|im_start|>assistant\\n' + m.content.split('</think>')[-1] + '<|im_end|>' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}"
)
# DeepSeek-V3.1: the closing mark alone.
V3_1 = (
    "{%- if thinking is not defined %}{%- set thinking = false %}{%- endif %}"
    "{%- for m in messages %}{%- if m.role != 'assistant' %}{{- " + _TURN + " }}{%- else %}"
    "{{- '<|im_start|>assistant\\n</think>' + m.content + '<|im_end|>' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{{- '<think>' if thinking else '</think>' }}{%- endif %}"
)
# Nemotron Nano 2: the last answer is rendered behind an opened block that nothing closes.
NEMOTRON_NANO_2 = (
    "{%- set ns = namespace(enable_thinking=true) %}{%- for m in messages %}{%- if '/no_think' in m.content %}"
    "{%- set ns.enable_thinking = false %}{%- endif %}{%- endfor %}"
    "{%- for m in messages %}{%- if m.role != 'assistant' %}{{- " + _TURN + " }}{%- else %}"
    "{{- '<|im_start|>assistant\\n' }}{%- if loop.last and not add_generation_prompt %}"
    "{{- '<think>\\n\\n' if ns.enable_thinking else '<think></think>' }}{%- endif %}"
    "{{- m.content.strip() + '\\n<|im_end|>\\n\\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{{- '<think>\\n\\n' if ns.enable_thinking else '<think></think>' }}{%- endif %}"
)
# Llama-Nemotron Super 1.5: the model opens by itself, unless the system message says not to think.
NEMOTRON_SUPER = (
    "{%- set enable_thinking = true %}{%- if messages and '/no_think' in messages[0].content %}"
    "{%- set enable_thinking = false %}{%- endif %}"
    "{%- for m in messages %}{%- if m.role != 'assistant' %}{{- " + _TURN + " }}{%- else %}"
    "{{- '<|im_start|>assistant\\n' + m.content.split('</think>')[-1].lstrip() + '<|im_end|>' }}{%- endif %}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- if not enable_thinking %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"
)
FAMILIES = {
    "qwen3": QWEN3,
    "qwen3_5": QWEN3_5,
    "qwen3_thinking": QWEN3_THINKING,
    "r1": R1,
    "v3_1": V3_1,
    "nemotron_nano_2": NEMOTRON_NANO_2,
    "nemotron_super": NEMOTRON_SUPER,
}
