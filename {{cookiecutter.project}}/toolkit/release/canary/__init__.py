"""The statistics of a canary, which know neither platforms nor releases.

- `traffic` reads requests from a server's log, and replays held-out customers;
- `histogram` reads latencies from a server's metrics;
- `verdict` says pass, fail or inconclusive of what was measured, and why;
- `exceedances` compares two tails, and `exact_tests` has the probabilities;
- `answers` compares the predictions of two releases;
- `picture` draws the latencies of both sides.
"""
