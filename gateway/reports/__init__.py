"""Reports for people: the money report, charts, plans, what-if and threshold tuning."""
