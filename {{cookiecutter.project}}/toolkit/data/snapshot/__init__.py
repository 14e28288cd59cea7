"""Immutable snapshots of a table that changes: git has a pointer, and their bytes lie elsewhere."""
