"""The release machine: it ships bundles of bytes and never knows what a model is.

It meets the model in files only: ``reports/gate.json`` and ``reports/model/`` go in,
``dist/<version>/`` comes out.
"""
