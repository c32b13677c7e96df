"""Continuous-time dynamics of competing hidden units, integrated with Brian2."""

__version__ = "0.1.0"
