"""Comparing the student with the teacher on held-out prompts: measures and the report."""
