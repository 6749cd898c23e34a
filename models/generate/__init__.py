"""Building a dataset from the teacher's answers."""
