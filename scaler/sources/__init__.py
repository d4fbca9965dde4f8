"""Sources of demand: Prometheus and the pods' own pages; engines are data in presets/."""
