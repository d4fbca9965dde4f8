"""`foresail gpus` and `foresail fleet`: a catalogue, and the GPUs, starts and jobs of clusters."""
