"""`python -m neurodyn` is the command `neurodyn`."""

from neurodyn.cli import main

main()
