"""Attacks on a running gateway, by name: `python -m tests.attack` runs them and says which of them it withstands."""
