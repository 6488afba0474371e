"""``python -m ostinato.cli``: the same as the console script."""

from ostinato.cli import main

main()
