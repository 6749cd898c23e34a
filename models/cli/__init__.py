"""The `breakeven distill` verbs."""
