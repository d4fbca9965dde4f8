"""The node agent: reads the GPUs of a machine with NVML, and reports them in an annotation."""
