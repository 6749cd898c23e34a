"""The objects that a running gateway consists of, and its background queues."""
