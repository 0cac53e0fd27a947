"""Data for scripts. It lies in scripts itself: a page that is opened from the disk may load nothing else."""

from __future__ import annotations

import json
from typing import Any


def call(name: str, key: str, data: Any) -> str:
    """A script that hands data to ``avbench.<name>``. Pure ASCII JSON without any ``<``: nothing in it can end it, even
    where it would be taken for HTML."""
    told = (json.dumps(part, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c") for part in (key, data))
    return f"avbench.{name}({', '.join(told)});\n"
