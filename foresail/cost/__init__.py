"""`foresail cost`: what GPUs cost, and why."""
