"""The feature matrix, training, evaluation, comparison with the champion, and the gate."""

import os

# ONNX Runtime's Linux wheel reports to its makers from its import on, unless it finds this then.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
