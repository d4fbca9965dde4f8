"""The edge of the scaler: what it tells peers and keeps on disk."""
