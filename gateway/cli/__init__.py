"""The `breakeven` command: one thin function for each verb."""
