"""Circuits of hidden units, one file each."""
