"""The HTTP client to an upstream: connections, timeouts, circuit breaker."""
