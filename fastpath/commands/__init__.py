"""The sub-commands of `fastpath`, each with its settings: one file, one command."""
