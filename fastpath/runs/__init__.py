"""Runs and their folders: carried out, written, read back, drawn."""
