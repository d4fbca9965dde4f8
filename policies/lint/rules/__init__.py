"""One function a rule, a module a subject."""
