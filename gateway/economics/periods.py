"""Lengths of time, each said once: an hour, a day and the month that all monthly figures mean."""

HOUR = 3_600_000_000  # microseconds
DAY = 24 * HOUR
HOURS_A_MONTH = 730  # 8,760 hours a year over twelve months
SECONDS_A_MONTH = HOURS_A_MONTH * 3600
MONTH = HOURS_A_MONTH * HOUR
