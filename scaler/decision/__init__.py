"""The decision: from a poll result to replicas, and why; read it from `evaluate` down."""
