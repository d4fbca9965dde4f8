"""Processes that place: the extender, the claims' webhook, the agent of a node."""
