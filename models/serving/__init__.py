"""Serving a student with vLLM."""
