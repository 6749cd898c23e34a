OPENAI_API_KEY=sk-of-the-gateway vllm bench serve \
  --backend openai-chat --endpoint /v1/chat/completions \
  --base-url http://127.0.0.1:8080 --model auto --tokenizer MODEL_FOLDER \
  --dataset-name random --random-input-len 64 --random-output-len 16 --num-prompts 8
