"""The verbs of the command line: options in, a thin call into a room."""
