"""Policies for GPU nodes: when to order one ahead, when to hold it, when to let it go."""
