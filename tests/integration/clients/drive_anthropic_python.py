"""The official Anthropic SDK for Python; see driving.py."""

from __future__ import annotations

from typing import Any

import driving
from pydantic import BaseModel

client: Any = driving.snippet()["client"]


class City(BaseModel):
    city: str
    country: str


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "weather", "description": "The weather in a city", "input_schema": SCHEMA}


def asked(text: str, model: str = "auto") -> dict[str, Any]:
    return {"model": model, "max_tokens": 256, "messages": [{"role": "user", "content": text}]}


class Messages:
    def ask(self, text: str, model: str = "auto") -> str:
        return client.messages.create(**asked(text, model)).content[0].text

    def stream(self, text: str) -> list[str]:
        with client.messages.stream(**asked(text)) as events:
            found = list(events.text_stream)
            events.get_final_message()
        return found

    def tools(self, text: str) -> str:
        request = {**asked(text), "tools": [WEATHER]}
        while True:
            with client.messages.stream(**request) as events:
                message = events.get_final_message()
            calls = [block for block in message.content if block.type == "tool_use"]
            if not calls:
                return message.content[0].text
            results = [
                {"type": "tool_result", "tool_use_id": call.id, "content": driving.weather_in(call.input["city"])}
                for call in calls
            ]
            turns = [{"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
            request["messages"] = [*request["messages"], *turns]

    def structured(self, text: str) -> Any:
        return client.messages.parse(**asked(text), output_format=City).parsed_output.model_dump()


driving.main({"messages": Messages()})
