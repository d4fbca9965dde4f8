"""Traffic through the shipped code: an inference fleet, KEDA and the HPA, and today's rules."""
