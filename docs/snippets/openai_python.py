from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:8080/v1", api_key="sk-of-the-gateway")

question = [{"role": "user", "content": "What is the capital of France?"}]
answer = client.chat.completions.create(model="auto", messages=question)
print(answer.choices[0].message.content)

with client.responses.stream(model="auto", input="What is the capital of France?") as stream:
    for event in stream:
        if event.type == "response.output_text.delta":
            print(event.delta, end="")
