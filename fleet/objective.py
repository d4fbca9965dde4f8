"""What a user should see unless somebody says otherwise, in seconds.

It lies at the bottom because every room judges by it.
"""

TTFT_SECONDS = 2.0
"""To the first token."""
ITL_SECONDS = 0.06
"""From one token to the next, some 17 a second."""
