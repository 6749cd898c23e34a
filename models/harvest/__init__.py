"""Making a dataset of the conversations that a gateway has kept: the teacher's answers there are paid for already."""
