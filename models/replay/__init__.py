"""An OpenAI-compatible upstream that replays recorded answers."""
