"""How a workload comes to be routed: stages, the promise of a quality floor, and what watches it. Pure: no I/O."""
