"""The decision: given a conversation, which route and why."""
