"""The churn model: its derived features, its estimators and its business metrics."""
