"""An OpenAI-compatible upstream that plays back recorded or scripted answers."""
