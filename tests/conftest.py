"""One thread per test process: parallel processes with threads of their own wait for each other most of the time."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
