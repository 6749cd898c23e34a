"""The prompts of the recorded demo, by kind."""
