from llama_index.llms.openai_like import OpenAILike

# `OpenAI` of llama-index looks its model up in a list of OpenAI's names; this class takes any.
llm = OpenAILike(
    model="auto",
    api_base="http://127.0.0.1:8080/v1",
    api_key="sk-of-the-gateway",
    is_chat_model=True,
    is_function_calling_model=True,
    context_window=8192,
)
for part in llm.stream_complete("What is the capital of France?"):
    print(part.delta, end="")
