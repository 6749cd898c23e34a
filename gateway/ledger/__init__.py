"""The durable record of every attempt's usage and cost."""
