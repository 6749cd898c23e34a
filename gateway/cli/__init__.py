"""The `breakeven` command: one thin function for each subcommand."""
