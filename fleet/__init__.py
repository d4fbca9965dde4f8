"""What GPUs there are."""
