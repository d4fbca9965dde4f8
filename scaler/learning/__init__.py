"""What a workload's own traffic teaches: capacity, lead time, and the setting that does best."""
