"""The canary: a release serves a share of the requests, and is measured beside the one before it.

- `exact_tests` knows probabilities and nothing else;
- `verdict` says pass, fail or inconclusive of what was measured, and why.
"""
