from langchain_openai import ChatOpenAI

llm = ChatOpenAI(
    model="auto",
    base_url="http://127.0.0.1:8080/v1",
    api_key="sk-of-the-gateway",
    # True asks /v1/responses; chat completions are the default.
    use_responses_api=False,
)
for chunk in llm.stream("What is the capital of France?"):
    print(chunk.text, end="")
