"""Scripts that ask one question each: `python -m scenarios.<name>`."""
