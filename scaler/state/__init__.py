"""What outlives a process: workloads' and feeds' states, as records and as bytes."""
