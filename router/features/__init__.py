"""Prompt text to features: n-grams, shape measures and the compiled kernel."""
