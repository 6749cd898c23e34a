"""The prompts of the recorded set, by kind."""
