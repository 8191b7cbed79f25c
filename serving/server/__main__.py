"""``python -m serving.server``."""

from __future__ import annotations

import sys

from serving.server.main import main

if __name__ == "__main__":
    sys.exit(main())
