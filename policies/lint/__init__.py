"""Rules about configuration: what in a manifest does not do what its author means."""
