"""Verifies the evidence of stand-in releases: what ``release.toml`` names as ``verify``.

It believes the verdict, which has no figures to compute it from, and refuses a file called
``stray``. What it prints is no answer.
"""

import hashlib
import json
import sys
from pathlib import Path

reports = Path(sys.argv[sys.argv.index("--reports") + 1])
files = {path.name: path.read_bytes() for path in (reports / "model").iterdir()}
looser = Path("quality.toml").is_file() and "looser" in Path("quality.toml").read_text()
answer = {
    "schema": 1,
    "verdict": "failed" if looser else "passed",
    "reasons": ["quality.toml is looser"] if looser else [],
    "files": {
        name: hashlib.sha256(content).hexdigest()
        for name, content in files.items()
        if name in ("model.onnx", "smoke.json")
    },
}
(reports / "verified.json").write_text(json.dumps(answer))
print("verified")
