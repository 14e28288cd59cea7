"""The canary: a release serves a share of the requests, and is measured beside the one before it.

- `trial` watches both sides, and says how that ended;
- `traffic` reads what the servers have answered, and asks where too few customers do;
- `verdict` says pass, fail or inconclusive of what was measured, and why;
- `exceedances` compares two tails, `exact_tests` knows probabilities and nothing else;
- `answers` notices when a release answers otherwise.
"""
