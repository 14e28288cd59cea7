"""The container image of a release: built from its bundle once, proved, pushed once.

- `host` speaks with the Docker Engine and believes nothing that it does not see;
- `registry` reads what a registry holds and no engine can be asked for;
- `record` is what a release keeps of its image, ``image.json``;
- `build` is the list of steps.
"""
