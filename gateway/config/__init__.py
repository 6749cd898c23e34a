"""breakeven.yaml: its schema and loading."""
