"""The results folder: one JSON record per run and, beside it, the evidence file. Knows no torch."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avbench.harness.atomic import abandoned, begun, sweep, target_of, unfinished, write_bytes
from avbench.harness.errors import AvbenchError, RecordError
from avbench.harness.records.record import Configuration, RunRecord, read_record
from avbench.harness.records.reproduction import (
    MAX_REPRODUCTION_BYTES,
    SUFFIX,
    Reproduction,
    decode_reproduction,
    read_reproduction,
)
from avbench.harness.untrusted import is_litter, read_limited

if TYPE_CHECKING:  # a listing reads no evidence and needs no NumPy
    import numpy as np

    from avbench.harness.evaluation.evidence import Evidence

MAX_EVIDENCE_BYTES = 64 * 2**20
SPARE_DISK = 32 * 2**20
"""Free space without which no run starts."""

_EVIDENCE = re.compile(r"[0-9a-f]{20}(\.[0-9a-f]{12}(\.state)?)?\.safetensors")
"""Evidence, and the fitted state that gave it."""
_REPRODUCTION = re.compile(r"[0-9a-f]{20}\.[0-9a-f]{12}\.reproduction\.json")


@dataclass(frozen=True)
class Unreadable:
    """A file in the results folder that is not a valid record, or a folder that cannot be looked into, and why."""

    path: Path
    reason: str


class ResultsFolder:
    """Records under ``<root>/<dataset>/<features>/<method>/<protocol>/<identity>.json``: merges in git.

    The evidence lies beside its record and is named by its content, ``<identity>.<hash>.safetensors``: a record in its
    place decides which evidence counts. Earlier versions named it ``<identity>.safetensors``; that is read as well.
    Reproductions of the run lie there too, ``<identity>.<hash>.reproduction.json``, any number of them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, configuration: Configuration) -> Path:
        c = configuration
        folder = self.root / c.dataset / c.features / c.method / c.protocol.name
        return folder / f"{c.identity[:20]}.json"

    def find(self, configuration: Configuration) -> RunRecord | None:
        """The record of a configuration, or None. One that cannot be read counts as absent: the run is repeated."""
        found = self.find_with_evidence(configuration)
        return found[0] if found else None

    def find_with_evidence(self, configuration: Configuration) -> tuple[RunRecord, dict[str, Evidence]] | None:
        """The same with its evidence, which is read but once; a failed run has none."""
        path = self.path(configuration)
        if not path.exists():
            return None
        try:
            record = read_record(path)
            tables = self.evidence(record) if record.finished else {}
        except RecordError:
            return None
        return (record, tables) if record.identity == configuration.identity else None

    def save(self, record: RunRecord, evidence: bytes | None) -> Path:
        """Store a record and its evidence in one step: the record in its place decides.

        A failure takes the place of no finished run: what was trained is not lost by a repetition that fails.
        """
        path = self.path(record.configuration)
        if not record.finished and (there := self.find(record.configuration)) and there.finished:
            return path
        with begun(path) as mark:  # while it is there, nobody else takes evidence for a leftover; if we die, it tells
            if evidence is not None:
                write_bytes(_evidence_path(path, hashlib.sha256(evidence).hexdigest()), evidence)
            write_bytes(path, record.to_json().encode())
            _sweep_beside(path, mark.path)
        return path

    def take(self, record: RunRecord, other: ResultsFolder) -> None:
        """Move a finished run here from another folder on the same disk, where its evidence stays behind.

        The record is in one of the two folders and never in both, whenever the process is killed. Raises
        :class:`RecordError` where the other folder lacks the evidence.
        """
        path, evidence = self.path(record.configuration), other.evidence_bytes(record)
        with begun(path) as mark:  # as in save
            try:
                write_bytes(_evidence_path(path, hashlib.sha256(evidence).hexdigest()), evidence)
                os.replace(other.path(record.configuration), path)
            finally:
                _sweep_beside(path, mark.path)

    def remove(self, record: RunRecord) -> None:
        """Delete a record with its evidence, fitted state and reproductions, and the folders that are empty then."""
        path = self.path(record.configuration)
        beside = self.beside(record)
        with begun(path):  # if we die, it tells the next command to delete the rest
            path.unlink(missing_ok=True)
            for file in beside:
                file.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.root or any(folder.iterdir()):
                break
            with suppress(OSError):  # another command may just have filled it
                folder.rmdir()

    def records(self) -> Iterator[RunRecord | Unreadable]:
        """Every record in a stable order; what cannot be read is reported in its place, never raised.

        Hidden files and folders are no records: file managers, notebooks and this package itself make some.
        """
        for path in self._files():
            if isinstance(path, Unreadable):
                yield path
                continue
            try:
                record = read_record(path)
                if path != self.path(record.configuration):
                    raise RecordError(f"{path}: does not lie where its configuration belongs")
                yield record
            except RecordError as error:
                yield Unreadable(path, str(error))

    def evidence_path(self, record: RunRecord) -> Path:
        """Where the evidence of a finished record lies."""
        path = self.path(record.configuration)
        if record.outcome is None:
            raise RecordError(f"{path}: a failed run has no evidence")
        named = _evidence_path(path, record.outcome.evidence)
        earlier = path.with_suffix(".safetensors")
        return earlier if earlier.exists() and not named.exists() else named

    def evidence(self, record: RunRecord) -> dict[str, Evidence]:
        """The evidence tables of a finished record: ``test``, ``validation`` and one per validation branch.

        Raises :class:`RecordError` when the file is missing, too large, broken, or not the record's own.
        """
        path = self.evidence_path(record)
        return unpack_evidence(self._evidence_bytes(record, path), str(path))

    def evidence_bytes(self, record: RunRecord) -> bytes:
        """The evidence file of a finished record. Raises :class:`RecordError` as :meth:`evidence` does."""
        return self._evidence_bytes(record, self.evidence_path(record))

    def _evidence_bytes(self, record: RunRecord, path: Path) -> bytes:
        content = read_limited(path, MAX_EVIDENCE_BYTES)
        if record.outcome is None or hashlib.sha256(content).hexdigest() != record.outcome.evidence:
            raise RecordError(f"{path}: is not the evidence that the record was made with (hash differs)")
        return content

    def reproductions(self, record: RunRecord) -> list[Reproduction | Unreadable]:
        """What lies beside a record, in a stable order. Whether it speaks of it, the gate says."""
        found: list[Reproduction | Unreadable] = []
        for path in _beside(self.path(record.configuration), _REPRODUCTION):
            try:
                content = read_limited(path, MAX_REPRODUCTION_BYTES)
                if _reproduction_path(path.with_name(f"{path.name[:20]}.json"), content) != path:
                    raise RecordError(f"{path}: is not as it was written (hash differs)")
                found.append(decode_reproduction(content, str(path)))
            except RecordError as error:
                found.append(Unreadable(path, str(error)))
        return found

    def beside(self, record: RunRecord) -> list[Path]:
        """Every file that lies beside a record: its evidence and its reproductions."""
        path = self.path(record.configuration)
        return [*_beside(path, _EVIDENCE), *_beside(path, _REPRODUCTION)]

    def save_reproduction(self, record: RunRecord, reproduction: Reproduction) -> Path:
        """File a reproduction beside its run. Its name is its content, so none takes the place of another."""
        path = self.reproduction_path(record, reproduction)
        write_bytes(path, reproduction.to_json().encode())
        return path

    def reproduction_path(self, record: RunRecord, reproduction: Reproduction) -> Path:
        """Where a reproduction of a run lies."""
        return _reproduction_path(self.path(record.configuration), reproduction.to_json().encode())

    def require_room(self, configurations: Iterable[Configuration]) -> None:
        """Raise :class:`AvbenchError` where the records of these runs could not be stored."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with begun(self.root / "probe") as probe:
                probe.stream.write(b"x")
        except OSError as error:
            raise AvbenchError(_refusal(self.root, error.strerror or str(error))) from None
        status = os.statvfs(self.root)
        if status.f_blocks and (free := status.f_bavail * status.f_frsize) < SPARE_DISK:
            raise AvbenchError(_refusal(self.root, f"only {free / 1e6:,.0f} MB are free on that disk"))
        paths = [self.path(c) for c in configurations]
        for path in paths:
            if path.is_dir():
                raise AvbenchError(_refusal(path, "a folder stands where the record belongs"))
        for folder in sorted({path.parent for path in paths}):
            there = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
            if not there.is_dir():
                raise AvbenchError(_refusal(folder, f"{there} is a file"))
            if not os.access(there, os.W_OK | os.X_OK):
                raise AvbenchError(_refusal(folder, f"{there} may not be written to"))

    def tidy(self) -> None:
        """Delete what killed commands left: parts, and what was to lie beside a record. Never fails."""
        for folder, _, _ in os.walk(self.root):
            for path in {target_of(p) for p in unfinished(Path(folder)) if abandoned(p)}:
                if path.suffix == ".json":
                    _sweep_beside(path)
            sweep(Path(folder))

    def _files(self) -> Iterator[Path | Unreadable]:
        """Every file that should be a record, and every folder that cannot be looked into, in the order of paths."""
        found: list[tuple[Path, Unreadable | None]] = []

        def cannot(error: OSError) -> None:
            path = Path(os.fsdecode(error.filename))
            reason = f"{path}: cannot be looked into ({error.strerror}); the runs below it are left out"
            if path != self.root or path.exists():
                found.append((path, Unreadable(path, reason)))

        for folder, below, files in os.walk(self.root, onerror=cannot):
            below[:] = [name for name in below if not (name.startswith(".") or is_litter(name))]
            for name in (*files, *below):  # a folder of such a name stands in the way of a record
                if not name.endswith(".json") or name.startswith("."):
                    continue
                path = Path(folder, name)
                if not _REPRODUCTION.fullmatch(name):
                    found.append((path, None))
                elif f"{name[:20]}.json" not in files:
                    found.append((path, Unreadable(path, f"{path}: the run that it speaks of is not here")))
        for path, unreadable in sorted(found, key=lambda pair: pair[0]):
            yield unreadable or path


def state_beside(evidence: Path) -> Path:
    """Where the fitted state lies that gave an evidence file: it goes when the evidence goes."""
    return evidence.with_suffix(".state.safetensors")


def _evidence_path(record_path: Path, sha256: str) -> Path:
    return record_path.with_suffix(f".{sha256[:12]}.safetensors")


def _reproduction_path(record_path: Path, content: bytes) -> Path:
    return record_path.with_suffix(f".{hashlib.sha256(content).hexdigest()[:12]}{SUFFIX}")


def _beside(path: Path, kind: re.Pattern[str]) -> list[Path]:
    """The files of a kind that belong to the record at ``path``, in the order of their names."""
    with suppress(OSError):
        return [path.with_name(n) for n in sorted(os.listdir(path.parent)) if kind.fullmatch(n) and n[:20] == path.stem]
    return []


def _sweep_beside(path: Path, own: Path | None = None) -> None:
    """Delete the evidence of a run that its record at ``path`` does not name, and reproductions of an earlier record or
    of none, unless that record is being replaced.

    ``own``: the mark of the caller, who has just replaced it.
    """
    there = _beside(path, _EVIDENCE)
    reproductions = _beside(path, _REPRODUCTION)
    # looked for before the record is read, so that a writer who has finished meanwhile is not missed
    writers = [p for p in unfinished(path.parent) if target_of(p) == path and p != own and not abandoned(p)]
    if not (there or reproductions) or writers:
        return
    try:
        record = read_record(path) if path.exists() else None
    except RecordError:  # damaged: what it named is not known
        return
    for found in reproductions:
        with suppress(OSError, RecordError):  # one that cannot be read is reported, not deleted
            if record is None or read_reproduction(found).record != record.digest:
                found.unlink()
    outcome = record.outcome if record else None
    named = _evidence_path(path, outcome.evidence) if outcome else None
    if named is not None and not named.exists():  # of an earlier version, or damaged
        return
    kept = () if named is None else (named, state_beside(named))
    for found in there:
        if found not in kept:
            with suppress(OSError):
                found.unlink()


def _refusal(place: Path, reason: str) -> str:
    return f"{place}: results cannot be stored here: {reason}; name another folder with --results"


def pack_evidence(tables: Mapping[str, Evidence]) -> bytes:
    """Evidence tables as one safetensors file; equal tables give equal bytes."""
    import numpy as np
    import safetensors.numpy

    arrays = {
        f"{name}.{key}": np.ascontiguousarray(array)
        for name, table in sorted(tables.items())
        for key, array in table.to_arrays().items()
    }
    return safetensors.numpy.save(arrays)


def unpack_evidence(content: bytes, where: str) -> dict[str, Evidence]:
    """The inverse of :func:`pack_evidence`; raises :class:`RecordError` on anything else."""
    import safetensors.numpy

    from avbench.harness.evaluation.evidence import Evidence

    try:
        arrays = safetensors.numpy.load(content)
        tables: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            table, _, key = name.rpartition(".")
            tables.setdefault(table, {})[key] = array
        return {name: Evidence.from_arrays(table) for name, table in tables.items()}
    except RecordError as error:
        raise RecordError(f"{where}: {error}") from None
    except Exception as error:
        raise RecordError(f"{where}: not readable as evidence ({error})") from None
