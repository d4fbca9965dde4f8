"""Foresail's own traces, metrics and logs over OTLP; imported where the settings ask."""
