"""Ask through the gateway with the OpenAI SDK: one answer, and one as a stream."""

import os
import sys

from openai import OpenAI

QUESTION = sys.argv[1] if len(sys.argv) > 1 else "Where is my order 76175?"

client = OpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "not needed"),
)
messages = [{"role": "user", "content": QUESTION}]

# `auto` lets the gateway choose; `student` and `teacher` pin one of them. The headers say what was decided.
answer = client.chat.completions.with_raw_response.create(model="auto", messages=messages)
print(answer.parse().choices[0].message.content)
print(f"\nanswered by the {answer.headers['x-breakeven-route']}, because: {answer.headers['x-breakeven-reason']}\n")

with client.chat.completions.create(model="auto", messages=messages, stream=True) as stream:
    for chunk in stream:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
