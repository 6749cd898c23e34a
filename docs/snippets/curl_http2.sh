curl --http2 --no-buffer --silent --write-out '\n%{http_code} %{http_version}' \
  http://127.0.0.1:8080/v1/chat/completions \
  -H 'authorization: Bearer sk-of-the-gateway' -H 'content-type: application/json' \
  -d '{"model": "auto", "messages": [{"role": "user", "content": "What is the capital of France?"}]}'
