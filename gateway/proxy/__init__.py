"""The request path: admission, routing decision, attempts, relaying, settling."""
