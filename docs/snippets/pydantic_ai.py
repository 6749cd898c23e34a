from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url="http://127.0.0.1:8080/v1", api_key="sk-of-the-gateway")
# OpenAIResponsesModel asks /v1/responses.
agent = Agent(OpenAIChatModel("auto", provider=provider))
print(agent.run_sync("What is the capital of France?").output)
