"""Examples that run from end to end on a CPU."""
