"""The forecast of how many GPUs a pool will want at most within each of several windows."""
