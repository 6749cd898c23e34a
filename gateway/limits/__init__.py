"""Client keys: authentication, rate limits and monthly budgets."""
