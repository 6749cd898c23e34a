OPENAI_API_KEY=sk-of-the-gateway vllm bench serve \
  --backend openai-chat --endpoint /v1/chat/completions --base-url http://127.0.0.1:8080 \
  --model auto --tokenizer "$MODEL_FOLDER" --skip-chat-template \
  --dataset-name custom --dataset-path prompts.jsonl --custom-output-len 8 --num-prompts 8
