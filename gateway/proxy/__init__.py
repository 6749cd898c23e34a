"""The request path: admission, routing decision, attempts at upstreams, relaying and settling."""
