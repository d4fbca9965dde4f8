"""A workload's own past, from its Prometheus, under its own rule and under Foresail."""
