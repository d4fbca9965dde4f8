"""Import contracts that `lint-imports` loads."""
