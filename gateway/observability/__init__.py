"""Prometheus metrics and the log."""
