"""What noxfile.py calls: shared environments, and what turns a tool's output into a report."""
