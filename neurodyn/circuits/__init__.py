"""Circuits of hidden units, one file each; populations.py has what they share."""
