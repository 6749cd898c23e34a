"""Prompts and dataset rows: reading, validation, clustering and writing."""
