"""llama-index, with `FunctionAgent` for the tools; see driving.py."""

from __future__ import annotations

from typing import Any

import driving
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike, OpenAILikeResponses
from pydantic import BaseModel

chat: OpenAILike = driving.snippet()["llm"]


class City(BaseModel):
    """A city."""

    city: str
    country: str


def get_weather(city: str) -> str:
    """The weather in a city."""
    return driving.weather_in(city)


class Way:
    def __init__(self, llm: Any) -> None:
        self._llm = llm

    def ask(self, text: str, model: str = "auto") -> str:
        llm = self._llm.model_copy(update={"model": model})
        return str(llm.chat([ChatMessage(role="user", content=text)]).message.content)

    def stream(self, text: str) -> list[str]:
        messages = [ChatMessage(role="user", content=text)]
        return [part.delta for part in self._llm.stream_chat(messages) if part.delta]

    async def tools(self, text: str) -> str:
        return str(await FunctionAgent(tools=[get_weather], llm=self._llm).run(text))

    def structured(self, text: str) -> Any:
        return self._llm.as_structured_llm(City).complete(text).raw.model_dump()


responses = OpenAILikeResponses(
    model="auto", api_base=chat.api_base, api_key=chat.api_key, is_function_calling_model=True, context_window=8192
)
driving.main({"chat": Way(chat), "responses": Way(responses)})
