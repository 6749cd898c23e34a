"""breakeven.yaml: its schema, and reading it."""
