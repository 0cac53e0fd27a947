"""Variants: named changes of a method's options, such as the rows of a paper's ablation tables. Knows no torch."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from avbench.harness.contract.options import Preset
from avbench.harness.errors import MethodError
from avbench.harness.tracks import Track

COLUMNS = ["method", "variant", "options", "paper", "table"]
PRESETS = "presets"
"""A sixth column that a file, and then a line, may have."""


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
    presets: tuple[Preset, ...] = ()
    """Values for some tracks and protocols only, where a printed row had a setting of its own."""

    def options_on(self, track: Track, protocol: str) -> dict[str, Any]:
        """What differs from the method's presets on a track under a protocol; later presets win."""
        applying = (preset.values for preset in self.presets if preset.applies(track, protocol))
        return {**self.options, **{name: value for values in applying for name, value in values.items()}}


def read_variants(lines: Iterable[str]) -> list[Variant]:
    """Variants from CSV text with the columns method, variant, options (a JSON object), paper, table.

    A sixth column, presets, may hold options of some tracks and protocols, a JSON object by place:
    ``{"ucf/main as-published": {"curvature": 0.34}}``; ``*`` is any data set or features, no protocol is both.
    Raises :class:`MethodError` that names the line.
    """
    reader = csv.DictReader(lines, strict=True)
    if reader.fieldnames not in (COLUMNS, [*COLUMNS, PRESETS]):
        raise MethodError(
            f"variants: the columns must be {', '.join(COLUMNS)} and perhaps {PRESETS}, not {reader.fieldnames}"
        )
    variants = []
    for row in reader:
        try:
            if None in row or any(row[column] is None for column in COLUMNS):
                raise ValueError("not as many columns as the header has")
            options, places = _json_object(row["options"]), _json_object(row.get(PRESETS) or "{}")
            presets = tuple(_preset(place, values) for place, values in places.items())
        except ValueError as error:
            raise MethodError(f"variants: line {reader.line_num}: {error}") from None
        variants.append(Variant(row["method"], row["variant"], options, row["paper"], row["table"], presets))
    return variants


def _json_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"options are a JSON object, not {text}")
    return value


def _preset(place: str, values: object) -> Preset:
    """The preset of a place such as ``ucf/*`` or ``vggsound/cls as-published``."""
    track, _, protocol = place.partition(" ")
    dataset, slash, features = track.partition("/")
    if not (slash and dataset and features and isinstance(values, dict)):
        raise ValueError(f"presets are JSON objects by place, such as ucf/main or */cls as-published, not {place!r}")
    return Preset(values, *(None if part in ("*", "") else part for part in (dataset, features, protocol)))
