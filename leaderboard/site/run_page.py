"""The page of a run, from its record and its evidence. Made where the evidence is read, in the gate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avbench.harness.evaluation.calibration import SeenUnseenCurve
from avbench.harness.evaluation.evidence import Evidence
from avbench.harness.evaluation.metrics import per_class_recall, predict
from avbench.harness.plugins.presets import changed_options, changes_in_words
from avbench.harness.records.record import RunRecord
from avbench.harness.records.reproduction import Reproduction
from avbench.harness.records.verification import find_split
from avbench.leaderboard.claims import method_key, trusted_features
from avbench.leaderboard.frame import MARKS, run_marks
from avbench.leaderboard.ladder import LADDER
from avbench.leaderboard.site import links
from avbench.leaderboard.site.page import File, Page
from avbench.leaderboard.site.plots import run as plots
from avbench.leaderboard.site.text import repeat_command
from avbench.splits import SplitClass

MAX_CONFUSIONS = 15
MAX_EPOCHS = 200
"""Rows of the validation table; the record has them all."""
EVIDENCE = ".safetensors"
SUFFIXES = (".html", ".json", EVIDENCE, "-curve.svg", "-history.svg")


@dataclass(frozen=True)
class ClassRecall:
    name: str
    seen: bool
    recall: float
    """In percent."""
    clips: int


@dataclass(frozen=True)
class Confusion:
    """Clips of one class that were taken for another. ``share``: of the class's clips, in percent."""

    true: str
    predicted: str
    clips: int
    share: float
    crossing: str
    """Such as ``unseen as seen``; empty within one side."""


def files(
    record: RunRecord,
    test: Evidence,
    whole: SeenUnseenCurve,
    marks: Sequence[str] = (),
    reproductions: Sequence[Reproduction] = (),
) -> Iterator[Page | File]:
    """Everything about one sound run: its test evidence and the curve of it.

    ``marks`` and ``reproductions``: of the gate.
    """
    assert record.outcome is not None
    split = find_split(record)
    assert split is not None
    o, c = record.outcome, record.configuration
    what = f"{c.method}, {c.track}, {c.protocol.name}, seed {c.seed}"
    seen_unseen = plots.seen_unseen(
        whole.seen, whole.unseen, (o.metrics.S, o.metrics.U), f"Seen-unseen curve of {what}"
    )
    history = plots.history([e.HM for e in o.validation], o.epochs, f"Validation HM of {what}")
    changes = changed_options(record)
    yield File(links.run_file(record, ".json"), record.to_json())
    yield File(links.run_file(record, "-curve.svg"), seen_unseen)
    yield File(links.run_file(record, "-history.svg"), history)
    yield Page(
        links.run(record),
        "run.html",
        f"{c.method} on {c.track}, seed {c.seed}",
        {
            "record": record,
            "marks": marks,
            "reproductions": reproductions,
            "ladder": LADDER,
            "links": links,
            "method_key": method_key(c.method, c.plugin.distribution),
            "tags": run_marks(record, changes_in_words(record), trusted_features()),
            "marks_explained": MARKS,
            "changes": changes,
            "command": repeat_command(record),
            "curve_svg": seen_unseen,
            "history_svg": history,
            "best_on_test": float(whole.hm.max()),
            "epochs": list(enumerate(o.validation, start=1))[:MAX_EPOCHS],
            "recalls": list(_recalls(test, o.offset, split.classes)),
            "confusions": list(_confusions(test, o.offset, split.classes)),
            "clips": test.label.size,
            "empty": [split.classes[i].name for i in test.empty_classes.tolist()],
        },
        about=f"HM {o.metrics.HM:.2f}{' on simulated features' if record.simulated else ''}: {what}.",
    )


def remove(record: RunRecord, out: Path) -> None:
    """Take back what was written about a run that does not stand after all."""
    for suffix in SUFFIXES:
        (out / links.run_file(record, suffix)).unlink(missing_ok=True)


def _recalls(test: Evidence, offset: float, classes: Sequence[SplitClass]) -> Iterator[ClassRecall]:
    seen = set(test.seen_classes.tolist())
    for i, (recall, clips) in per_class_recall(test, offset).items():
        yield ClassRecall(classes[i].name, i in seen, recall, clips)


def _confusions(test: Evidence, offset: float, classes: Sequence[SplitClass]) -> Iterator[Confusion]:
    predicted = predict(test, offset)
    wrong = predicted != test.label
    rows, columns = test.class_row[wrong], np.searchsorted(test.classes, predicted[wrong])
    pairs, counts = np.unique(rows * test.classes.size + columns, return_counts=True)
    rows, columns = np.divmod(pairs, test.classes.size)
    shares = 100 * counts / test.class_clips[rows]
    for at in np.argsort(-shares, kind="stable")[:MAX_CONFUSIONS].tolist():
        sides = ["seen" if test.class_is_seen[i] else "unseen" for i in (rows[at], columns[at])]
        yield Confusion(
            true=classes[test.classes[rows[at]]].name,
            predicted=classes[test.classes[columns[at]]].name,
            clips=int(counts[at]),
            share=float(shares[at]),
            crossing=f"{sides[0]} as {sides[1]}" if sides[0] != sides[1] else "",
        )
