"""The HTTP client for an upstream: connections, timeouts, circuit breaker."""
