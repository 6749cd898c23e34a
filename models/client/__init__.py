"""Paid calls to a teacher or a judge: HTTP, batches, pacing, retries, budget and the journal of what was paid for."""
