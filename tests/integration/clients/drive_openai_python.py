"""The official OpenAI SDK for Python; see driving.py."""

from __future__ import annotations

import json
from typing import Any

import driving
from openai import pydantic_function_tool
from pydantic import BaseModel

client: Any = driving.snippet()["client"]


class City(BaseModel):
    city: str
    country: str


class Weather(BaseModel):
    city: str


class Chat:
    def ask(self, text: str, model: str = "auto") -> str:
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])
        return answer.choices[0].message.content

    def stream(self, text: str) -> list[str]:
        with client.chat.completions.stream(model="auto", messages=[{"role": "user", "content": text}]) as events:
            return [event.delta for event in events if event.type == "content.delta"]

    def tools(self, text: str) -> str:
        messages: list[Any] = [{"role": "user", "content": text}]
        tools = [pydantic_function_tool(Weather)]
        while True:
            with client.chat.completions.stream(model="auto", messages=messages, tools=tools) as events:
                message = events.get_final_completion().choices[0].message
            if not message.tool_calls:
                return message.content
            messages.append(message)
            for call in message.tool_calls:
                output = driving.weather_in(call.function.parsed_arguments.city)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": output})

    def structured(self, text: str) -> Any:
        messages = [{"role": "user", "content": text}]
        answer = client.chat.completions.parse(model="auto", messages=messages, response_format=City)
        return answer.choices[0].message.parsed.model_dump()


class Responses:
    def ask(self, text: str, model: str = "auto") -> str:
        return client.responses.create(model=model, input=text).output_text

    def stream(self, text: str) -> list[str]:
        with client.responses.stream(model="auto", input=text) as events:
            found = [event.delta for event in events if event.type == "response.output_text.delta"]
            events.get_final_response()
        return found

    def tools(self, text: str) -> str:
        items: list[Any] = [{"role": "user", "content": text}]
        parameters = {**Weather.model_json_schema(), "additionalProperties": False}
        tool = {"type": "function", "name": "weather", "parameters": parameters, "strict": True}
        while True:
            with client.responses.stream(model="auto", input=items, tools=[tool]) as events:
                response = events.get_final_response()
            calls = [item for item in response.output if item.type == "function_call"]
            if not calls:
                return response.output_text
            for call in calls:
                output = driving.weather_in(json.loads(call.arguments)["city"])
                items.append({k: getattr(call, k) for k in ("type", "call_id", "name", "arguments")})
                items.append({"type": "function_call_output", "call_id": call.call_id, "output": output})

    def structured(self, text: str) -> Any:
        return client.responses.parse(model="auto", input=text, text_format=City).output_parsed.model_dump()


driving.main({"chat": Chat(), "responses": Responses()})
