from anthropic import Anthropic

client = Anthropic(base_url="http://127.0.0.1:8080", api_key="sk-of-the-gateway")

question = {"role": "user", "content": "What is the capital of France?"}
message = client.messages.create(model="auto", max_tokens=256, messages=[question])
print(message.content[0].text)

with client.messages.stream(model="auto", max_tokens=256, messages=[question]) as stream:
    for text in stream.text_stream:
        print(text, end="")
