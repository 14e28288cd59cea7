"""Changes that a developer commits to a generated repository: one that is good, one that is not."""

from __future__ import annotations

from demo.repository import Repository

SERVING = "src/churn_model/serving.py"


def learn_more_slowly(repository: Repository) -> None:
    """Commit another model: as good as the one before, and not the same bytes."""
    repository.replace("src/churn_model/estimators.py", "learning_rate=0.05", "learning_rate=0.04")
    repository.commit("Learn more slowly")


def depend_on_a_laptop(repository: Repository) -> None:
    """Commit a server that needs a variable which only its author's laptop has: no check sees that."""
    repository.replace(SERVING, "import json\n", "import json\nimport os\n")
    main = 'if __name__ == "__main__":\n'
    says = '    print("features come from", os.environ["FEATURE_STORE"])\n'
    repository.replace(SERVING, main, main + says)
    repository.commit("Say where the features come from")
