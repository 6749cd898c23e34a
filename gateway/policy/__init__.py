"""The routing policy in force, and what a model name in a request means."""
