"""States of workloads and feeds that outlive a process, as records and as bytes."""
