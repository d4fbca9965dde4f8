"""Every number that README and docs quote, each with its command."""
