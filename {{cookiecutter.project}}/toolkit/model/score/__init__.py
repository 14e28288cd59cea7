"""Scores a table of customers with the release that an environment serves."""
