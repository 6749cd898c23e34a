"""Student against teacher on held-out prompts: measures and the report."""
