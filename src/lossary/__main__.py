"""``python -m lossary`` is the ``lossary`` command."""

from lossary.cli import main

if __name__ == "__main__":
    main()
