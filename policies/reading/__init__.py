"""One reading of a cluster to the pools that the rules see."""
