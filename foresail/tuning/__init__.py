"""`foresail tune`: rules and settings over many workloads."""
