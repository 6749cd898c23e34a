"""Measuring a router and choosing its thresholds."""
