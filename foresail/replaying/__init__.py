"""`foresail replay` and its report: tables, JSON and a page."""
