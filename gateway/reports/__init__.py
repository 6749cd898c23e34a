"""Reports as tables, JSON and plots: the money report, break-even chart, plan, what-if and threshold tuning."""
