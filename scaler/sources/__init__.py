"""Where demand is read: Prometheus and the pods; engines are data in presets/."""
