"""The edge of the scaler: the planning cycle, KEDA's service, and states on disk and of peers."""
