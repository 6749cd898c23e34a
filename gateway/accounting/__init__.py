"""Accounting of one request: token usage, prices, costs, and the settled record."""
