"""Changes that a developer commits to a generated repository: good ones, and others."""

from __future__ import annotations

import re

from demo.repository import Repository

FEATURES = "src/churn_model/features.py"


def learn_more_slowly(repository: Repository) -> None:
    """Commit another model: as good as the one before, and not the same bytes."""
    repository.replace("src/churn_model/estimators.py", "learning_rate=0.05", "learning_rate=0.04")
    repository.commit("Learn more slowly")


def depend_on_a_laptop(repository: Repository) -> None:
    """Commit features that want a variable which only their author's laptop has: no check sees it."""
    repository.replace(FEATURES, "import numpy as np\n", "import os\n\nimport numpy as np\n")
    first = "\n\ndef is_new_customer("
    says = '\nprint("features come from", os.environ["FEATURE_STORE"])\n'
    repository.replace(FEATURES, first, says + first)
    repository.commit("Say where the features come from")


def answer_after(repository: Repository, milliseconds: int) -> None:
    """Commit a server that waits before it answers: the gate measures the model, and sees nothing."""
    service = "toolkit/serving/service.py"
    asks = "            self._predictions.ask(body, finish)\n"
    wait = (
        f"            loop.call_later({milliseconds} / 1000, self._predictions.ask, body, finish)\n"
    )
    text = (repository.folder / service).read_text(encoding="utf-8")
    waits = re.search(r" +loop.call_later\(.+\)\n", text)
    repository.replace(service, waits[0] if waits else asks, wait)
    repository.commit(f"Wait {milliseconds} ms for another service before each answer")
