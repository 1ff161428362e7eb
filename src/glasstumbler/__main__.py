"""`python -m glasstumbler` is the command `glasstumbler`."""

from glasstumbler.cli import main

main()
