"""The container image of a release: built from its bundle once, checked, and pushed once.

- `build` has the steps;
- `host` is the client of a Docker Engine, and verifies what that reports;
- `registry` is the client of a registry, for what no engine can tell;
- `record` is the release's record of its image, ``image.json``;
- `scan` reads the evidence of ``nox -s scan``.
"""
