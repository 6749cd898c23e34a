"""pydantic-ai; see driving.py."""

from __future__ import annotations

from typing import Any

import driving
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

provider: Any = driving.snippet()["provider"]


class City(BaseModel):
    city: str
    country: str


class Way:
    def __init__(self, kind: Any, output: Any) -> None:
        self._kind = kind
        self._output = output

    def _agent(self, model: str = "auto", **options: Any) -> Agent[None, Any]:
        return Agent(self._kind(model, provider=provider), **options)

    async def ask(self, text: str, model: str = "auto") -> str:
        return (await self._agent(model).run(text)).output

    async def stream(self, text: str) -> list[str]:
        async with self._agent().run_stream(text) as result:
            return [part async for part in result.stream_text(delta=True, debounce_by=None)]

    async def tools(self, text: str) -> str:
        agent = self._agent()

        @agent.tool_plain
        def get_weather(city: str) -> str:
            """The weather in a city."""
            return driving.weather_in(city)

        async with agent.run_stream(text) as result:
            return str(await result.get_output())

    async def structured(self, text: str) -> Any:
        return (await self._agent(output_type=self._output).run(text)).output.model_dump()


# Structured output by a tool, which is the default, and by a schema of the answer.
driving.main({"chat": Way(OpenAIChatModel, City), "responses": Way(OpenAIResponsesModel, NativeOutput(City))})
