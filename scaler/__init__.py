"""Demand, forecast, replicas, and the gRPC service that KEDA asks."""
