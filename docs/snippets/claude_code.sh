export ANTHROPIC_BASE_URL=http://127.0.0.1:8080
export ANTHROPIC_AUTH_TOKEN=sk-of-the-gateway
export ANTHROPIC_MODEL=auto ANTHROPIC_DEFAULT_HAIKU_MODEL=auto
export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
claude -p "What is the capital of France?"
