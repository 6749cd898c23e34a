"""langchain, with `create_agent` for the tools; see driving.py."""

from __future__ import annotations

from typing import Any

import driving
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

chat: ChatOpenAI = driving.snippet()["llm"]


class City(BaseModel):
    """A city."""

    city: str
    country: str


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return driving.weather_in(city)


class Way:
    def __init__(self, llm: ChatOpenAI) -> None:
        self._llm = llm

    def ask(self, text: str, model: str = "auto") -> str:
        return str(self._llm.model_copy(update={"model_name": model}).invoke(text).text)

    def stream(self, text: str) -> list[str]:
        return [str(chunk.text) for chunk in self._llm.stream(text) if chunk.text]

    def tools(self, text: str) -> str:
        agent: Any = create_agent(self._llm, [get_weather])
        return str(agent.invoke({"messages": [{"role": "user", "content": text}]})["messages"][-1].text)

    def structured(self, text: str) -> Any:
        found: Any = self._llm.with_structured_output(City).invoke(text)
        return found.model_dump()


driving.main({"chat": Way(chat), "responses": Way(chat.model_copy(update={"use_responses_api": True}))})
