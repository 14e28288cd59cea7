"""Checks, trains, serves and releases a model; the owner's part of it is three plug-ins."""
