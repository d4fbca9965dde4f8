"""`foresail plans`: the plans of a running `foresail serve` as a table."""
