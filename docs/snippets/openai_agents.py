from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

# Traces go to OpenAI's servers, with an OpenAI key, unless this is said.
set_tracing_disabled(True)
client = AsyncOpenAI(base_url="http://127.0.0.1:8080/v1", api_key="sk-of-the-gateway")
# OpenAIResponsesModel asks /v1/responses.
model = OpenAIChatCompletionsModel(model="auto", openai_client=client)
print(Runner.run_sync(Agent(name="assistant", model=model), "What is the capital of France?").final_output)
