"""The rules of other autoscalers: our reading of each, one file a peer."""
