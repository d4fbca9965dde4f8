"""`foresail fleet`: the GPUs of clusters, their starts and their jobs."""
