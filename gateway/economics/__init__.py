"""Pure functions on money: baseline, hosting, savings, payback, plan and projection. No I/O, no clock."""
