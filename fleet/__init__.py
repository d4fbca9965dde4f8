"""The GPUs of clusters: one reading, a catalogue, prices, and accounts."""
