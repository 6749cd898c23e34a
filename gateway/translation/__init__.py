"""Anthropic's Messages API said in OpenAI's chat completions, and back. Pure: no I/O, no clock, only a stream's state.

What the other API cannot say raises Untranslatable instead of being left out, unless it changes nothing that the model
is asked: see docs/how-to/anthropic-clients.md.
"""
