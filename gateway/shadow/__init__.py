"""Shadow traffic: for a sample of the student's answers the teacher is asked too, and the two are compared."""
