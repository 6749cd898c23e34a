"""Distilling a student: generate a dataset from a teacher, train on it, evaluate the student.

The face is the command line (`cli.py`); each step is a module: `generate`, `train`, `evaluate`.
"""
