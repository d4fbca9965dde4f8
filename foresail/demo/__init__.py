"""`foresail demo`: a generated day on a screen, in lines, or in a browser."""
