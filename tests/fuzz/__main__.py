"""The command ``python -m tests.fuzz``, from the folder that holds ``tests``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz.runner import main

if __name__ == "__main__":
    sys.exit(main())
