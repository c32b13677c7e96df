"""How far is each step from its floor? `python -m scenarios.bench`, or `make bench`."""
