"""``python -m metabench`` is the same as the ``metabench`` command."""

import sys

from metabench.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
