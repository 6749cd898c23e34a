"""Paid calls to a teacher or a judge: HTTP, batches, concurrency control, retries, budget and journal."""
