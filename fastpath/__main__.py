"""`python -m fastpath` is the command `fastpath`."""

from fastpath.cli import main

main()
