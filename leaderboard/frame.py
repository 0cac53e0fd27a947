"""The one frame of results. Tables, comparisons, exports, boards and downloads are made from it."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd

from avbench.harness.errors import UsageError
from avbench.harness.plugins.presets import Overrides, changes_in_words, options_beyond_variant
from avbench.harness.printable import printable
from avbench.harness.records.record import RunRecord, canonical_json
from avbench.harness.records.results import ResultsFolder, Unreadable
from avbench.harness.records.summary import METRICS, VALIDATION, summary
from avbench.leaderboard.statistics import FEWEST_SEEDS

BOARD = ["simulated", "dataset", "features", "protocol", "protocol_version"]
"""What rows of one board share."""
SERIES = [
    "method",
    "protocol",
    "protocol_version",
    "distribution",
    "version",
    "source_hash",
    "variant",
    "changes",
    "numerics",
]
"""What makes rows of different tracks the same thing: the code, the protocol, and how its presets were changed."""
ROW = ["simulated", "group"]
"""What runs of one row share: everything but the seed."""
COLUMNS = [
    "identity", "method", "variant", "changes", "numerics", *BOARD[1:3], "simulated", *BOARD[3:], "seed", "status",
    *METRICS, *VALIDATION, "offset", "epochs", "parameters", "seconds", "seconds_stage_1", "seconds_stage_2",
    "peak_memory_bytes", "runs_at_once", "started", "device", "threads", "platform", "python", "torch", "avbench",
    "git_commit", "git_dirty", "distribution", "version", "source_hash", "options", "feature_hash",
    "split_fingerprint", "uses_unseen_names", "inputs", "generative", "warnings", "marks", "group", "failure",
]  # fmt: skip
"""Of :func:`results_frame`."""
INCOMPLETE = "incomplete features"
FEW_SEEDS = f"fewer than {FEWEST_SEEDS} seeds"
MARKS = {
    INCOMPLETE: "clips or classes were missing when the features were imported",
    FEW_SEEDS: "it cannot be told apart from any other row",
}
"""What a reader must know beside a number, in short and at length."""
LABEL_LIMIT = 60
_TYPES = {**dict.fromkeys((*METRICS, *VALIDATION, "offset"), "float64"), "epochs": "Int64", "parameters": "Int64"}
"""Of columns where a failed run has no number."""
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def results_frame(
    records: Iterable[RunRecord],
    overrides: Overrides = options_beyond_variant,
    gate_marks: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> pd.DataFrame:
    """One row per run, failed ones included, with the columns :data:`COLUMNS`.

    Accuracies are percent, times seconds. ``val_S``, ``val_U``, ``val_HM``: of the epoch that stage 1 chose.
    ``changes``: options that differ from the presets beyond ``variant``, as text; ``options``: all, as JSON.
    ``group``: equal for runs that differ in the seed alone. ``marks``: see :data:`MARKS`, and those of the gate
    (``gate_marks``, by identity), joined by semicolons.
    """
    words: dict[tuple[str, str | None], str] = {}
    rows = []
    for record in records:
        key = group_of(record), record.variant
        if key not in words:
            words[key] = changes_in_words(record, overrides)
        told = [*marks(record), *gate_marks.get(record.identity, ())]
        rows.append({**summary(record), "changes": words[key], "group": key[0], "marks": "; ".join(told)})
    return pd.DataFrame(rows, columns=COLUMNS).astype(_TYPES)


def folder_frame(folder: ResultsFolder) -> pd.DataFrame:
    """:func:`results_frame` of a results folder. Files that are no valid record are left out with a warning.

    Numbers are as the records state them; 'avbench results verify' recomputes them from the evidence. Raises
    :class:`UsageError` where there is nothing.
    """
    found = list(folder.records())
    if not found:
        raise UsageError(f"no results in {folder.root}: 'avbench run' makes some, in 'results' unless told otherwise")
    for item in found:
        if isinstance(item, Unreadable):
            warnings.warn(f"left out: {printable(item.reason, 500)}", stacklevel=2)
    return results_frame(item for item in found if isinstance(item, RunRecord))


def group_of(record: RunRecord) -> str:
    """Hash of everything that decides a result but the seed."""
    content = record.configuration.model_dump(mode="json", exclude={"seed"})
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def marks(record: RunRecord) -> list[str]:
    """Those of :data:`MARKS` that a run bears by itself."""
    return [INCOMPLETE] if record.warnings else []


def finished_by_row(runs: pd.DataFrame) -> Any:
    """The finished runs of :func:`results_frame`, ordered by seed and grouped into rows."""
    finished = runs[runs["status"] == "finished"].sort_values("seed", kind="stable")
    return finished.groupby(ROW, sort=False)


def rows_frame(runs: pd.DataFrame) -> pd.DataFrame:
    """One line per configuration with a finished run, from :func:`results_frame`.

    Means over seeds; ``*_deviation`` is the sample standard deviation, NaN for one run. What describes a row is
    that of its first seed; ``marks`` and ``device`` are those of all its runs, ``parameters`` the largest.
    """
    by_row = finished_by_row(runs)
    means = [*METRICS, *VALIDATION, "seconds"]
    rows: pd.DataFrame = by_row.head(1).drop(columns=[*means, "parameters", "marks", "device"]).set_index(ROW)
    parts = [by_row[means].mean(), by_row[means].std().add_suffix("_deviation"), by_row.size().rename("seeds")]
    parts += [by_row["parameters"].max(), by_row["marks"].agg(_joined), by_row["device"].agg(_joined)]
    rows = rows.join(parts).reset_index()
    few = rows["marks"].map(lambda found: "; ".join(filter(None, (found, FEW_SEEDS))))
    rows["marks"] = rows["marks"].where(rows["seeds"] >= FEWEST_SEEDS, few)
    rows["label"] = labels(rows)
    return rows


def labels(rows: pd.DataFrame) -> pd.Series[str]:
    """A name for each row: the method, what was changed, and what else tells it from rows of the same name.

    Rows of different tracks get the same name where they are the same series. One line, printable.
    """
    named = []
    for method, *changed in rows[["method", "variant", "changes", "numerics"]].fillna("").itertuples(index=False):
        what = ", ".join(filter(None, changed))
        named.append(f"{method} ({what})" if what else method)
    label = pd.Series([printable(name, LABEL_LIMIT) for name in named], rows.index, dtype=str)
    contents = rows.groupby(BOARD)["feature_hash"].transform("nunique")
    label = label.where(contents == 1, label + " [features " + rows["feature_hash"].str[:8] + "]")
    series = pd.Series([_digest(*key) for key in rows[SERIES].itertuples(index=False)], rows.index, dtype=str)
    place = [rows[name] for name in ("simulated", "features", "protocol", "protocol_version")]
    for name, differing in (("code", rows["source_hash"].str[:8]), ("row", series)):
        alike = differing.groupby([*place, label]).transform("nunique")
        label = label.where(alike == 1, label + f" [{name} " + differing + "]")
    return label


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries of Python's own values; None for what is missing."""
    values = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in values.to_dict("records")]


def json_text(frame: pd.DataFrame) -> str:
    """A list of objects. NaN becomes null."""
    return json.dumps(plain_rows(frame), indent=1, ensure_ascii=False, allow_nan=False)


def csv_text(frame: pd.DataFrame) -> str:
    """CSV with a header; empty for no rows. Every CSV of avbench is written here: no cell of it runs in a spreadsheet,
    and none holds control characters or marks of direction."""
    if frame.empty:
        return ""
    rows = [{name: _harmless(value) for name, value in row.items()} for row in plain_rows(frame)]
    return pd.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n")


def _harmless(value: Any) -> Any:
    """Text is one printable line; what a spreadsheet would take for a formula gets an apostrophe in front."""
    if not isinstance(value, str):
        return value
    text = printable(value, 100_000)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _digest(*parts: Any) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:8]


def _joined(texts: pd.Series[str]) -> str:
    return "; ".join(dict.fromkeys(part for text in texts for part in text.split("; ") if part))
