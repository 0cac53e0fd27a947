"""Variants: named changes of a method's options, such as the rows of a paper's ablation tables. Knows no torch."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from avbench.harness.errors import MethodError

COLUMNS = ["method", "variant", "options", "paper", "table"]


@dataclass(frozen=True)
class Variant:
    """One variant of a method, and where it was printed. Printed in two tables, it appears twice with equal options."""

    method: str
    name: str
    """As in the published results, where it was printed: ``loss=-l_r``."""
    options: Mapping[str, Any]
    """What differs from the presets."""
    paper: str
    """Key of the paper, such as ``avca-2022``."""
    table: str
    """``table-6``, ``figure-2``."""


def read_variants(lines: Iterable[str]) -> list[Variant]:
    """Variants from CSV text with the columns method, variant, options (a JSON object), paper, table.

    Raises :class:`MethodError` that names the line.
    """
    reader = csv.DictReader(lines, strict=True)
    if reader.fieldnames != COLUMNS:
        raise MethodError(f"variants: the columns must be {', '.join(COLUMNS)}, not {reader.fieldnames}")
    variants = []
    for row in reader:
        try:
            options = json.loads(row["options"])
        except (TypeError, ValueError):
            options = None
        if not isinstance(options, dict) or None in row or None in row.values():
            raise MethodError(f"variants: line {reader.line_num} is not five columns with the options as a JSON object")
        variants.append(Variant(row["method"], row["variant"], options, row["paper"], row["table"]))
    return variants
