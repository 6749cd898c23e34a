"""A scripted model behind the gateway: it answers by rules, in the formats of chat completions and of responses.

The rules, first that fits: a text with "refuse" is a 400, one with "break off" a stream that is cut in the middle; the
outputs of tools are repeated; "Run `…`" calls the shell of an agent; a schema is filled in; "weather" calls the first
tool once for each city; anything else is answered with a sentence that names the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.contract.scripted import Received, ScriptedUpstream, Step, error_answer
from tests.integration.clients import chat_format, responses_format
from tests.integration.clients.reply import Call, Reply, Usage, filled

_CITIES = re.compile("Paris|London")
_COMMAND = re.compile("Run `(.+)`")


@dataclass(frozen=True)
class Asked:
    """What a request asks, in either format. `outputs` are the results of tools since the last user message."""

    text: str
    outputs: tuple[str, ...]
    tools: dict[str, Any]
    must_call: bool
    schema: Any


class ScriptedModel(ScriptedUpstream):
    """An upstream with one model; `reported` is the usage of its answers, in order."""

    def __init__(self, model: str) -> None:
        self.reported: list[Usage] = []
        super().__init__(model)

    def clear(self) -> None:
        """Forget what was received and reported."""
        super().clear()
        self.reported = []

    def posts(self, path: str) -> list[Any]:
        """The bodies that came to `/v1` + `path`, in order."""
        return [received.json for received in self.received if received.path == f"/v1{path}"]

    def _steps(self, request: Received) -> Sequence[Step]:
        form = {"/v1/chat/completions": chat_format, "/v1/responses": responses_format}.get(request.path)
        if request.method != "POST" or form is None:
            return super()._steps(request)
        body = request.json
        asked = Asked(**form.asked(body))
        self.received.append(request)
        if "refuse" in asked.text:
            return error_answer(400, "The prompt is refused.")
        reply, streamed = self._reply(asked), body.get("stream") is True
        whole = not (streamed and "break off" in asked.text)
        if whole:
            self.reported.append(reply.usage)
        if not streamed:
            return form.whole(self.model, reply)
        return form.stream(
            self.model, reply, whole=whole, usage=bool((body.get("stream_options") or {}).get("include_usage"))
        )

    def _reply(self, asked: Asked) -> Reply:
        number = len(self.received)
        cities = _CITIES.findall(asked.text) or ["Paris"]
        if asked.outputs:
            return Reply(number, f"{self.model} heard: {'; '.join(asked.outputs)}")
        if (command := _COMMAND.search(asked.text)) and "exec_command" in asked.tools:
            return Reply(number, calls=(Call(f"call_{number}", "exec_command", json.dumps({"cmd": command[1]})),))
        if asked.schema is not None:
            return Reply(number, json.dumps(filled(asked.schema)))
        if asked.must_call:
            name, schema = next(iter(asked.tools.items()))
            return Reply(number, calls=(Call(f"call_{number}_0", name, json.dumps(filled(schema))),))
        if "weather" in asked.text and asked.tools:
            name = next(iter(asked.tools))
            calls = [Call(f"call_{number}_{i}", name, json.dumps({"city": city})) for i, city in enumerate(cities)]
            return Reply(number, calls=tuple(calls))
        return Reply(number, f"{self.model} says that it is Paris, né Lutetia.")
