"""Everybody's scaling rules in one form, so that they can be compared on one run."""
