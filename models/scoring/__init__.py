"""Scoring answers: rule-based checkers, scorers and a judge model."""
