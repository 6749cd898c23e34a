"""Training a router artifact from outcome rows."""
