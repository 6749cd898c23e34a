"""End-to-end examples that run on a CPU."""
