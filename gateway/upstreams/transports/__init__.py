"""How requests get to an upstream: one small interface, and its two implementations."""
