"""``python -m fastlazy``."""

import sys

from fastlazy.cli import main

if __name__ == "__main__":
    sys.exit(main())
