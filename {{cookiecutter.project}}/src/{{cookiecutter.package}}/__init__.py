"""The model wing: a data contract, the features, training, the gate, and the server."""

import os

# ONNX Runtime's Linux wheel reports to its makers from its import on, unless it finds this then.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
