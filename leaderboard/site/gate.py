"""The gate at the build of the site: records are judged in several processes, and nothing they hold stops the build.

What is judged, and how, is :mod:`avbench.harness.records.gate`, the same as for ``avbench results verify``.

Each evidence file is read once: the check, the recalls for the statistics and the run's own page come from one reading.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from avbench.harness.errors import RecordError
from avbench.harness.evaluation.calibration import curve
from avbench.harness.evaluation.evidence import TEST, Evidence
from avbench.harness.plugins.declared import said_by_methods
from avbench.harness.records.finding import Finding, find
from avbench.harness.records.gate import Dispute, judge
from avbench.harness.records.record import RunRecord
from avbench.harness.records.reproduction import Reproduction, Required
from avbench.harness.records.results import ResultsFolder, Unreadable, unpack_evidence
from avbench.leaderboard.frame import group_of, results_frame, rows_frame
from avbench.leaderboard.ladder import REQUIRED
from avbench.leaderboard.recalls import Recalls
from avbench.leaderboard.site import links
from avbench.leaderboard.site import run_page as runs
from avbench.leaderboard.site.files import write
from avbench.leaderboard.site.page import File

FEW = 64
"""So many records are checked faster than processes start."""
MAX_REASONS = 5


@dataclass(frozen=True)
class Rejected:
    """A file or record that stays off the boards, and why."""

    where: str
    """Its path in the results folder."""
    method: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Gate:
    """What a results folder holds, judged. Everything is in the order of the paths."""

    sound: tuple[RunRecord, ...]
    """Finished, with every number recomputed."""
    failed: tuple[RunRecord, ...]
    rejected: tuple[Rejected, ...]
    recalls: Mapping[str, Recalls]
    """Of the sound records, by identity."""
    classes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """Ids of the seen and of the unseen classes whose recalls those are, by identity."""
    test_gains: Mapping[str, float]
    """HM points that an offset chosen on the test clips themselves would add, by identity."""
    marks: Mapping[str, tuple[str, ...]]
    """What must be said beside a run's number, by identity."""
    reproductions: Mapping[str, Reproduction]
    """What the repetition that counts came to, by identity."""
    disputes: tuple[Dispute, ...] = ()
    """Sound runs that contradict each other. They stand, with a mark."""
    withheld: tuple[Rejected, ...] = ()
    """Sound runs of rows that are not what the board requires."""


@dataclass(frozen=True, eq=False)
class _Examined:
    finding: Finding
    recalls: Recalls | None = None
    classes: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    test_gain: float = 0.0


def judge_for_site(folder: ResultsFolder, out: Path, processes: int, url: str | None = None) -> Gate:
    """Judge every record of a folder and write the page of every sound run below ``out``. ``url``: of the site."""
    records: list[RunRecord] = []
    rejected: list[Rejected] = []
    for item in folder.records():
        if isinstance(item, Unreadable):
            where = _where(item.path, folder)
            rejected.append(Rejected(where, None, (item.reason.replace(str(item.path), where),)))
        else:
            records.append(item)
    failed = tuple(r for r in records if not r.finished)
    finished = [r for r in records if r.finished]
    examined = _examine_all(finished, folder, out, processes, url)
    verdicts = judge(e.finding for e in examined)
    examined_of = {record.identity: record for record in finished}
    for record in finished:
        if reasons := verdicts.reasons[record.identity]:
            runs.remove(record, out)
            where = _where(folder.path(record.configuration), folder)
            shown = tuple(
                reason.replace(str(folder.path(record.configuration).with_suffix("")), where) for reason in reasons
            )
            rejected.append(Rejected(where, record.configuration.method, shown[:MAX_REASONS]))
        elif marks := verdicts.marks.get(record.identity):  # known only now: its page is written anew
            _examine(record, folder.root, out, url, marks)
    for identity, reasons in verdicts.refused.items():  # a record that stands can have them too
        where = _where(folder.path(examined_of[identity].configuration), folder)
        rejected.append(Rejected(where, examined_of[identity].configuration.method, reasons[:MAX_REASONS]))
    sound = [e for e in examined if not verdicts.reasons[e.finding.record.identity]]
    return Gate(
        sound=tuple(e.finding.record for e in sound),
        failed=failed,
        rejected=tuple(sorted(rejected, key=lambda r: r.where)),
        recalls={e.finding.record.identity: e.recalls for e in sound if e.recalls is not None},
        classes={e.finding.record.identity: e.classes for e in sound},
        test_gains={e.finding.record.identity: e.test_gain for e in sound},
        marks=verdicts.marks,
        reproductions=verdicts.reproductions,
        disputes=verdicts.disputes,
    )


def withhold(gate: Gate, require: Required, folder: ResultsFolder, out: Path) -> Gate:
    """The gate for a board that requires something of its rows; the pages of runs of other rows are taken back."""
    frame = rows_frame(results_frame(gate.sound, gate_marks=gate.marks, reproductions=gate.reproductions))
    status = dict(zip(frame["group"], frame["reproduction"], strict=True))
    sound, withheld = [], []
    for record in gate.sound:
        if (found := status[group_of(record)]) in REQUIRED[require]:
            sound.append(record)
            continue
        runs.remove(record, out)
        reason = f"its row is {found}; this board requires {' or '.join(sorted(REQUIRED[require]))}"
        where = _where(folder.path(record.configuration), folder)
        withheld.append(Rejected(where, record.configuration.method, (reason,)))
    return replace(gate, sound=tuple(sound), withheld=tuple(withheld))


def _examine_all(
    records: Sequence[RunRecord], folder: ResultsFolder, out: Path, processes: int, url: str | None
) -> list[_Examined]:
    work = partial(_examine, root=folder.root, out=out, url=url)
    if processes < 2 or len(records) <= FEW:
        return [work(record) for record in records]
    context = multiprocessing.get_context("spawn")  # threads of the caller make a fork unsafe
    with ProcessPoolExecutor(processes, context) as pool:
        return list(pool.map(work, records, chunksize=16))


def _examine(record: RunRecord, root: Path, out: Path, url: str | None, marks: Sequence[str] = ()) -> _Examined:
    folder = ResultsFolder(root)
    try:
        evidence = folder.evidence_bytes(record)
        tables = unpack_evidence(evidence, str(folder.evidence_path(record)))
        finding = find(record, tables, said_by_methods, folder.reproductions(record))
        if finding.reasons:
            return _Examined(finding)
        assert record.outcome is not None
        whole = curve(tables[TEST], allow_empty=bool(record.warnings))
        for file in runs.files(record, tables[TEST], whole, marks, finding.reproductions):
            write(out, file, url)
        write(out, File(links.run_file(record, runs.EVIDENCE), evidence))
        gain = float(whole.hm.max()) - record.outcome.metrics.HM
        recalls = Recalls.of(tables[TEST], record.outcome.offset)
        return _Examined(finding, recalls, _tested_classes(tables[TEST]), gain)
    except RecordError as error:
        return _Examined(Finding(record, (str(error),)))
    except OSError:  # the site cannot be written: no fault of the record
        raise
    except Exception as error:  # a stranger's record must not stop the build; the reason is listed
        return _Examined(Finding(record, (f"cannot be checked: {type(error).__name__}",)))


def _tested_classes(table: Evidence) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The classes with clips, in the order of :class:`Recalls`."""
    seen, unseen = (tuple(table.classes[side].tolist()) for side in table.filled_sides)
    return seen, unseen


def _where(path: Path, folder: ResultsFolder) -> str:
    return path.relative_to(folder.root).as_posix()
