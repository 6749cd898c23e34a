"""openai-agents; see driving.py."""

from __future__ import annotations

from typing import Any

import driving
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool
from openai import AsyncOpenAI
from pydantic import BaseModel

# Its connections belong to the event loop that the snippet ran in.
known: Any = driving.snippet()["client"]
client = AsyncOpenAI(base_url=known.base_url, api_key=known.api_key)


class City(BaseModel):
    city: str
    country: str


@function_tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return driving.weather_in(city)


class Way:
    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def _agent(self, model: str = "auto", **options: Any) -> Agent[Any]:
        return Agent(name="assistant", model=self._kind(model=model, openai_client=client), **options)

    async def ask(self, text: str, model: str = "auto") -> str:
        return str((await Runner.run(self._agent(model), text)).final_output)

    async def stream(self, text: str) -> list[str]:
        result = Runner.run_streamed(self._agent(), text)
        return [
            event.data.delta
            async for event in result.stream_events()
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
        ]

    async def tools(self, text: str) -> str:
        result = Runner.run_streamed(self._agent(tools=[get_weather]), text)
        async for _ in result.stream_events():
            pass
        return str(result.final_output)

    async def structured(self, text: str) -> Any:
        return (await Runner.run(self._agent(output_type=City), text)).final_output.model_dump()


driving.main({"chat": Way(OpenAIChatCompletionsModel), "responses": Way(OpenAIResponsesModel)})
