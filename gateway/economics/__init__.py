"""Money, pure: cost of usage, baseline, savings and payback. No I/O and no clock in here."""
