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
from avbench.harness.plugins.declared import said_by_methods
from avbench.harness.plugins.presets import Overrides, changes_in_words, options_beyond_variant
from avbench.harness.printable import printable
from avbench.harness.records.finding import sorted_out
from avbench.harness.records.gate import judge_folder
from avbench.harness.records.record import RunRecord
from avbench.harness.records.reproduction import Reproduction, decisive
from avbench.harness.records.results import ResultsFolder, Unreadable
from avbench.harness.records.summary import METRICS, VALIDATION, summary
from avbench.leaderboard.claims import Trusted, trusted_features
from avbench.leaderboard.labels import labels
from avbench.leaderboard.ladder import of_rows, of_run
from avbench.leaderboard.recalls import FEWEST_SEEDS

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
    "features_source", "split_fingerprint", "uses_unseen_names", "inputs", "generative", "warnings", "marks",
    "reproduction", "reproduction_difference", "group", "failure",
]  # fmt: skip
"""Of :func:`results_frame`."""
SIMULATED = "simulated"
INCOMPLETE = "incomplete features"
NOT_VERIFIED = "features not verified"
OFF_PRESET = "off preset"
NO_PRESET = "presets not known"
ENCODER_SAW_DATA = "encoder saw the data set"
ENCODER_SAW_CLASSES = "encoder saw unseen classes"
FEW_SEEDS = f"fewer than {FEWEST_SEEDS} seeds"
CHOSEN_SEEDS = "seeds not from 0 on"
MIXED_VERSIONS = "mixed versions"
MIXED_DEVICES = "mixed devices"
MARKS = {
    SIMULATED: "the features are made up: the numbers say nothing about real data",
    INCOMPLETE: "clips or classes were missing when the features were imported",
    NOT_VERIFIED: "the content of the features is not known to be the genuine one",
    OFF_PRESET: "options or numerics are not those that the method has on this track under this protocol",
    NO_PRESET: "what options the method has on this track is not known here: it is not installed, or another version",
    ENCODER_SAW_DATA: "by declaration, an encoder of the features was trained on clips of this data set",
    ENCODER_SAW_CLASSES: "by declaration, an encoder of the features was trained on examples of the unseen classes",
    FEW_SEEDS: "it cannot be told apart from any other row",
    CHOSEN_SEEDS: "its seeds are not 0, 1, 2 and so on: others may have been run and left out",
    MIXED_VERSIONS: "its seeds were run with different versions of avbench or torch",
    MIXED_DEVICES: "its seeds were run on different devices",
}
"""What a reader must know beside a number, in short and at length. The gate adds its own, such as "identical to", and
runs whose options were searched for say so: "tuned, 40 trials"."""
_OF_ALL = ["marks", "device", "torch", "avbench"]
_LADDER = ["reproduction", "reproduction_difference"]
"""Columns of a row that tell of all its runs."""
_NUMBERS = (*METRICS, *VALIDATION, "offset", "reproduction_difference")
_TYPES = {**dict.fromkeys(_NUMBERS, "float64"), "epochs": "Int64", "parameters": "Int64"}
"""Of columns where a failed run has no number."""
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def results_frame(
    records: Iterable[RunRecord],
    overrides: Overrides = options_beyond_variant,
    gate_marks: Mapping[str, Sequence[str]] = MappingProxyType({}),
    trusted: Trusted | None = None,
    reproductions: Mapping[str, Reproduction] | None = None,
) -> pd.DataFrame:
    """One row per run, failed ones included, with the columns :data:`COLUMNS`.

    Accuracies are percent, times seconds. ``val_S``, ``val_U``, ``val_HM``: of the epoch that stage 1 chose.
    ``changes``: options that differ from the presets beyond ``variant``, as text; ``options``: all, as JSON.
    ``group``: equal for runs that differ in the seed alone. ``marks``: see :data:`MARKS`, and those of the gate
    (``gate_marks``, by identity), joined by semicolons. ``trusted``: :func:`trusted_features` unless given.
    ``reproduction``: see :data:`avbench.leaderboard.ladder.LADDER`, from the gate's ``reproductions`` by identity; None
    where those are not known. ``reproduction_difference``: repeated minus recorded HM, in points.
    """
    genuine = trusted_features() if trusted is None else trusted
    words: dict[tuple[str, str | None], str] = {}
    rows = []
    for record in records:
        key = group_of(record), record.variant
        if key not in words:
            words[key] = changes_in_words(record, overrides)
        told = [*run_marks(record, words[key], genuine), *gate_marks.get(record.identity, ())]
        ladder = of_run(record.identity, reproductions)
        rows.append({**summary(record), "changes": words[key], "group": key[0], "marks": "; ".join(told), **ladder})
    return pd.DataFrame(rows, columns=COLUMNS).astype(_TYPES)


def folder_frame(folder: ResultsFolder, verify: bool = False) -> pd.DataFrame:
    """:func:`results_frame` of a results folder. Files that are no valid record are left out with a warning.

    Numbers are as the records state them. ``verify``: ask the gate, as the board does, which recomputes them from the
    evidence; its marks are among ``marks``, and a further column, ``problems``, says why a run does not verify, and is
    empty where it does. Raises :class:`UsageError` where there is nothing.
    """
    found = list(folder.records())
    if not found:
        raise UsageError(f"no results in {folder.root}: 'avbench run' makes some, in 'results' unless told otherwise")
    for item in found:
        if isinstance(item, Unreadable):
            warnings.warn(f"left out: {printable(item.reason, 500)}", stacklevel=2)
    records = [item for item in found if isinstance(item, RunRecord)]
    if verify:
        verdicts = judge_folder(folder, records, said_by_methods)
        frame = results_frame(records, gate_marks=verdicts.marks, reproductions=verdicts.reproductions)
        return frame.assign(problems=["; ".join(verdicts.reasons[record.identity]) for record in records])
    told = ((record, decisive(sorted_out(folder.reproductions(record), record)[0])) for record in records)
    return results_frame(records, reproductions={record.identity: one for record, one in told if one})


def group_of(record: RunRecord) -> str:
    """Hash of everything that decides a result but the seed."""
    return hashlib.sha256(record.configuration.row.encode()).hexdigest()


def run_marks(record: RunRecord, changes: str, trusted: Trusted) -> list[str]:
    """Those of :data:`MARKS` that a run bears by itself, and how many trials its options are the best of.

    ``changes``: how its options differ from the presets.
    """
    c = record.configuration
    simulated = record.simulated or c.track.simulated
    holds = {
        SIMULATED: simulated,
        INCOMPLETE: bool(record.warnings),
        NOT_VERIFIED: not simulated and (c.track, c.feature_hash) not in trusted,
        OFF_PRESET: "=" in changes or bool(c.numerics.changed),
        NO_PRESET: bool(changes) and "=" not in changes,
        ENCODER_SAW_DATA: not simulated and record.encoders_met == "the data set",
        ENCODER_SAW_CLASSES: not simulated and record.encoders_met == "unseen classes",
    }
    tuned = [f"tuned, {record.tuned.trials:,} trials"] if record.tuned else []
    return [mark for mark, held in holds.items() if held] + tuned


def marks_over(borne: Iterable[tuple[str, Sequence[str]]]) -> tuple[str, ...]:
    """Marks of a line that stands for rows on several data sets, from the data sets and the marks there: with the data
    sets where a mark does not hold on all of them."""
    on: dict[str, list[str]] = {}
    everywhere = []
    for dataset, marks in borne:
        everywhere.append(dataset)
        for mark in marks:
            on.setdefault(mark, []).append(dataset)
    return tuple(mark if held == everywhere else f"on {', '.join(held)}: {mark}" for mark, held in on.items())


def finished_by_row(runs: pd.DataFrame) -> Any:
    """The finished runs of :func:`results_frame`, ordered by seed and grouped into rows."""
    finished = runs[runs["status"] == "finished"].sort_values("seed", kind="stable")
    return finished.groupby(ROW, sort=False)


def rows_frame(runs: pd.DataFrame) -> pd.DataFrame:
    """One line per configuration with a finished run, from :func:`results_frame`.

    Means over seeds; ``*_deviation`` is the sample standard deviation, NaN for one run. What describes a row is
    that of its first seed; ``marks``, ``device``, ``torch`` and ``avbench`` are those of all its runs, ``parameters``
    the largest. ``reproduction``, ``reproduced_seeds`` and ``reproduction_difference``: see
    :class:`avbench.leaderboard.ladder.Rung`.
    """
    by_row = finished_by_row(runs)
    means = [*METRICS, *VALIDATION, "seconds"]
    rows: pd.DataFrame = by_row.head(1).drop(columns=[*means, "parameters", *_OF_ALL, *_LADDER]).set_index(ROW)
    parts = [by_row[means].mean(), by_row[means].std().add_suffix("_deviation"), by_row.size().rename("seeds")]
    parts += [by_row["parameters"].max(), *(by_row[name].agg(_joined) for name in _OF_ALL)]
    parts.append(of_rows(by_row))
    differing = by_row[["device", "torch", "avbench"]].nunique() > 1
    rows = rows.join(parts)
    for mark, holds in (
        (FEW_SEEDS, rows["seeds"] < FEWEST_SEEDS),
        (CHOSEN_SEEDS, by_row["seed"].max() >= rows["seeds"]),
        (MIXED_VERSIONS, differing["torch"] | differing["avbench"]),
        (MIXED_DEVICES, differing["device"]),
    ):
        rows["marks"] = rows["marks"].where(~holds, (rows["marks"] + "; " + mark).str.removeprefix("; "))
    rows = rows.reset_index()
    rows["label"] = labels(plain_rows(rows), BOARD, SERIES)
    return rows


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


def _joined(texts: pd.Series[str]) -> str:
    return "; ".join(dict.fromkeys(part for text in texts for part in text.split("; ") if part))
