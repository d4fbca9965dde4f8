"""A workload's need, and where it goes so that the fleet stays usable."""
