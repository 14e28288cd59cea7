"""Scores with stand-in releases: what ``release.toml`` names as ``score``.

The content of the input says how it goes: well, refused, asked wrongly, with another release, or
without a report.
"""

import hashlib
import json
import sys
from pathlib import Path

reports = Path(sys.argv[sys.argv.index("--reports") + 1])
request = json.loads(Path(sys.argv[sys.argv.index("--request") + 1]).read_bytes())
record = json.loads((Path(request["bundle"]) / "release.json").read_bytes())
table = Path(request["input"]).read_bytes()
how = table.decode().strip()
codes = {"refused": 1, "wrong": 2}
if how == "silent":
    sys.exit(1)
report = {
    "schema": 1,
    "verdict": "failed" if how in codes else "passed",
    "reasons": [f"it is {how}"] if how in codes else [],
    "warnings": ["few customers"],
    "environment": request["environment"],
    "release": "0" * 12 + "-00000000" if how == "forged" else record["version"],
    "model_sha256": record["model_sha256"],
    "by": request["by"],
    "as_of": request["as_of"],
    "input_sha256": hashlib.sha256(table).hexdigest(),
    "output_sha256": hashlib.sha256(b"scores").hexdigest(),
    "rows": 3,
    "scored": 2,
    "rejected": 1,
    "churn": 1,
    "created": "2026-11-30T03:47:00+00:00",
}
if how not in codes:
    Path(request["output"]).write_bytes(b"scores")
reports.mkdir(parents=True)
(reports / "score.json").write_text(json.dumps(report))
(reports / "score.md").write_text("# Batch scores")
sys.exit(codes.get(how, 0))
