guidellm run \
  --backend kind=openai_http,target=http://127.0.0.1:8080,model=auto,api_key=sk-of-the-gateway,max_tokens=8 \
  --tokenizer "kind=hf_auto,model=$MODEL_FOLDER" --data kind=json_file,path=prompts.jsonl \
  --profile kind=concurrent,streams=2 --constraint kind=max_requests,count=8
