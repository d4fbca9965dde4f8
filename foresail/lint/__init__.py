"""`foresail lint`: files or a cluster in, findings out."""
