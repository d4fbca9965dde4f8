"""Policies from files, what they say of a pool, and advice on nodes."""
