"""Data for scripts. It lies in scripts itself: a page that is opened from the disk may load nothing else."""

from __future__ import annotations

import json
from typing import Any


def call(name: str, key: str, data: Any) -> str:
    """A script that hands data to ``avbench.<name>``. Pure ASCII JSON: nothing in it can end it."""
    return f"avbench.{name}({json.dumps(key)}, {json.dumps(data, separators=(',', ':'), allow_nan=False)});\n"
