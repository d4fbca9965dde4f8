"""The node agent: what NVML says of a machine's GPUs, told to the scheduler in one annotation."""
