"""The results folder: one JSON record per run and, beside it, the evidence file. Knows no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avbench.harness.atomic import write_bytes
from avbench.harness.errors import RecordError
from avbench.harness.records.record import Configuration, RunRecord, read_record
from avbench.harness.untrusted import read_limited

if TYPE_CHECKING:  # a listing reads no evidence and needs no NumPy
    import numpy as np

    from avbench.harness.evaluation.evidence import Evidence

MAX_EVIDENCE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Unreadable:
    """A file in the results folder that is not a valid record, and why."""

    path: Path
    reason: str


class ResultsFolder:
    """Records under ``<root>/<dataset>/<features>/<method>/<protocol>/<identity>.json``: merges in git."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, configuration: Configuration) -> Path:
        c = configuration
        folder = self.root / c.dataset / c.features / c.method / c.protocol.name
        return folder / f"{c.identity[:20]}.json"

    def find(self, configuration: Configuration) -> RunRecord | None:
        """The record of a configuration, or None. One that cannot be read counts as absent: the run is repeated."""
        path = self.path(configuration)
        if not path.exists():
            return None
        try:
            record = read_record(path)
            if record.finished:
                self.evidence(record)
        except RecordError:
            return None
        return record if record.identity == configuration.identity else None

    def save(self, record: RunRecord, evidence: bytes | None) -> Path:
        """Store a record, and its evidence first: a record is never there without it."""
        path = self.path(record.configuration)
        if evidence is not None:
            write_bytes(evidence_path(path), evidence)
        write_bytes(path, record.to_json().encode())
        return path

    def records(self) -> Iterator[RunRecord | Unreadable]:
        """Every record in a stable order; what cannot be read is reported in its place, never raised."""
        for path in sorted(self.root.rglob("*.json")):
            try:
                record = read_record(path)
                if path != self.path(record.configuration):
                    raise RecordError(f"{path}: does not lie where its configuration belongs")
                yield record
            except RecordError as error:
                yield Unreadable(path, str(error))

    def evidence(self, record: RunRecord) -> dict[str, Evidence]:
        """The evidence tables of a finished record: ``test``, ``validation`` and one per validation branch.

        Raises :class:`RecordError` when the file is missing, too large, broken, or not the record's own.
        """
        path = evidence_path(self.path(record.configuration))
        if record.outcome is None:
            raise RecordError(f"{path}: a failed run has no evidence")
        content = read_limited(path, MAX_EVIDENCE_BYTES)
        if hashlib.sha256(content).hexdigest() != record.outcome.evidence:
            raise RecordError(f"{path}: is not the evidence that the record was made with (hash differs)")
        return unpack_evidence(content, str(path))


def evidence_path(record_path: Path) -> Path:
    return record_path.with_suffix(".safetensors")


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
