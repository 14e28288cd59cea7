"""The release machine: it ships bundles of bytes and never knows what a model is.

It shares files with the model, and no code: it reads ``reports/gate.json`` and ``reports/model/``,
and writes ``dist/<version>/``.
"""
