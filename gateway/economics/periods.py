"""The lengths of an hour, a day and a month. All monthly figures mean this month of 730 hours."""

HOUR = 3_600_000_000  # microseconds
DAY = 24 * HOUR  # microseconds
HOURS_A_MONTH = 730  # a year of 8,760 hours divided by twelve
SECONDS_A_MONTH = HOURS_A_MONTH * 3600
MONTH = HOURS_A_MONTH * HOUR  # microseconds
