"""The objects that a running gateway consists of, and the queues of its background work."""
