"""Prompts and dataset rows: reading, checking, clustering and writing."""
