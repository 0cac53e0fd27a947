"""The guide of a checkout, as continuous integration builds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def build_guide(checkout: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Build into ``folder``; the caller looks at the exit code."""
    return subprocess.run(
        [sys.executable, str(checkout / "docs"), "build", "--site-dir", str(folder)],
        cwd=checkout,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "AVBENCH_LOAD_PLUGINS": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
