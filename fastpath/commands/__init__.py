"""The command `fastpath`: its settings in `flags`, and one file for each sub-command."""
