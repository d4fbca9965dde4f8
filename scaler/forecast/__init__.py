"""The one forecast behind replicas and nodes."""
