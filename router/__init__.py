"""Routing: which upstream answers a conversation, and why."""
