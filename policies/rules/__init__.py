"""The rules for GPU nodes, one a file; `policies.decide` runs them in order."""
