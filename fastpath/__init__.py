"""Training of competing hidden units at their steady state, with PyTorch."""

__version__ = "0.1.0"
