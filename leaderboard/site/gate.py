"""The evidence gate of the build: every record is checked, in several processes, and nothing it holds stops the build.

Each evidence file is read once: the check, the recalls for the statistics and the run's own page come from one reading.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from avbench.harness.errors import RecordError
from avbench.harness.evaluation.calibration import curve
from avbench.harness.evaluation.evidence import TEST
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder, Unreadable
from avbench.harness.records.verification import check_tables
from avbench.leaderboard.site import run_page as runs
from avbench.leaderboard.site.files import write
from avbench.leaderboard.statistics import Recalls

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
    test_gains: Mapping[str, float]
    """HM points that an offset chosen on the test clips themselves would add, by identity."""


@dataclass(frozen=True, eq=False)
class _Verdict:
    reasons: tuple[str, ...]
    recalls: Recalls | None = None
    clips: str = ""
    """Hash of how many test clips of which class were evaluated."""
    test_gain: float = 0.0


def judge(folder: ResultsFolder, out: Path, processes: int) -> Gate:
    """Check every record of a folder and write the page of every sound run below ``out``."""
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
    verdicts = dict(zip((r.identity for r in finished), _verdicts(finished, folder, out, processes), strict=True))
    reasons = {identity: verdict.reasons for identity, verdict in verdicts.items()}
    standing = [r for r in finished if not reasons[r.identity]]
    reasons |= _copies(standing)
    reasons |= _other_clips([r for r in standing if not reasons[r.identity]], verdicts)
    for record in finished:
        if reasons[record.identity]:
            runs.remove(record, out)
            where = _where(folder.path(record.configuration), folder)
            rejected.append(Rejected(where, record.configuration.method, reasons[record.identity][:MAX_REASONS]))
    sound = tuple(r for r in finished if not reasons[r.identity])
    recalls = {r.identity: found for r in sound if (found := verdicts[r.identity].recalls) is not None}
    gains = {r.identity: verdicts[r.identity].test_gain for r in sound}
    return Gate(sound, failed, tuple(sorted(rejected, key=lambda r: r.where)), recalls, gains)


def _verdicts(records: Sequence[RunRecord], folder: ResultsFolder, out: Path, processes: int) -> list[_Verdict]:
    work = partial(_examine, root=folder.root, out=out)
    if processes < 2 or len(records) <= FEW:
        return [work(record) for record in records]
    context = multiprocessing.get_context("spawn")  # threads of the caller make a fork unsafe
    with ProcessPoolExecutor(processes, context) as pool:
        return list(pool.map(work, records, chunksize=16))


def _examine(record: RunRecord, root: Path, out: Path) -> _Verdict:
    folder = ResultsFolder(root)
    try:
        tables = folder.evidence(record)
        if reasons := check_tables(record, tables):
            return _Verdict(tuple(reasons))
        assert record.outcome is not None
        whole = curve(tables[TEST], allow_empty=bool(record.warnings))
        for file in runs.files(record, tables[TEST], whole):
            write(out, file)
        clips = hashlib.sha256(tables[TEST].classes.tobytes() + tables[TEST].class_clips.tobytes()).hexdigest()
        gain = float(whole.hm.max()) - record.outcome.metrics.HM
        return _Verdict((), Recalls.of(tables[TEST], record.outcome.offset), clips, gain)
    except RecordError as error:
        path = folder.path(record.configuration).with_suffix("")
        return _Verdict((str(error).replace(str(path), _where(path, folder)),))
    except OSError:  # the site cannot be written: no fault of the record
        raise
    except Exception as error:  # a stranger's record must not stop the build; the reason is listed
        return _Verdict((f"cannot be checked: {type(error).__name__}",))


def _copies(records: Sequence[RunRecord]) -> dict[str, tuple[str, ...]]:
    """Bit-identical evidence under the names of several methods: one of them is a copy, and no number tells which."""
    owners: dict[str, set[str]] = defaultdict(set)
    for record in records:
        assert record.outcome is not None
        owners[record.outcome.evidence].add(record.configuration.method)
    return {
        r.identity: (f"the same evidence stands under the names of {', '.join(sorted(names))}",)
        for r in records
        if r.outcome is not None and len(names := owners[r.outcome.evidence]) > 1
    }


def _other_clips(records: Sequence[RunRecord], verdicts: Mapping[str, _Verdict]) -> dict[str, tuple[str, ...]]:
    """Records that state the same features as most others, but were evaluated on other clips."""
    groups: dict[tuple[bool, str, str], list[RunRecord]] = defaultdict(list)
    for record in records:
        c = record.configuration
        groups[record.simulated, str(c.track), c.feature_hash].append(record)
    found: dict[str, tuple[str, ...]] = {}
    for members in groups.values():
        counts = Counter(verdicts[r.identity].clips for r in members)
        usual = max(sorted(counts), key=counts.__getitem__)
        for record in members:
            if verdicts[record.identity].clips != usual:
                text = f"its test clips are not those of the {counts[usual]} other runs on the same features"
                found[record.identity] = (text,)
    return found


def _where(path: Path, folder: ResultsFolder) -> str:
    return path.relative_to(folder.root).as_posix()
