"""The operator's settings: one YAML file, every key checked."""
