"""Kubernetes' API server: a client, what it serves, and changes made of its objects."""
