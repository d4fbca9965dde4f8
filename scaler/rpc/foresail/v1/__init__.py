"""Stubs generated from proto/foresail by `make proto`; never edited."""
