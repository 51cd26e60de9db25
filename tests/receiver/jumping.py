"""A worker whose clock goes ahead of the machine's by as many seconds as the file ``JUMPING_CLOCK`` says, at any time.

(libfaketime does not get along with processes that fork and go on.)
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from receiver.__main__ import main

if __name__ == "__main__":
    _FILE, _REAL = Path(os.environ.pop("JUMPING_CLOCK")), time.time
    time.time = lambda: _REAL() + float(_FILE.read_text())
    sys.exit(main())
