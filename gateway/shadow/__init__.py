"""Shadow traffic: a share of the student's answers is put to the teacher too, and the two are compared."""
