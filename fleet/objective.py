"""The default latency objective, in seconds.

It is in the lowest room because every room judges by it.
"""

TTFT_SECONDS = 2.0
"""To the first token."""
ITL_SECONDS = 0.06
"""From one token to the next, some 17 a second."""
ATTAINMENT = 0.99
"""Share of the requests within both."""
