"""What a client key may do: authentication, rate limits and monthly budgets."""
