"""Comparisons: of requests that are drawn the other upstream is asked too, and the two answers are scored."""
