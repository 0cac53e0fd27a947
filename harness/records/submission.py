"""Submission files: chosen runs in one zip, packed from sound records and accepted only when every one is sound.

A submission is hostile until proven otherwise: only the expected names, bounded in number, size and compression;
nothing is written outside a temporary folder before everything has been verified.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avbench.harness.atomic import scratch, write_bytes
from avbench.harness.errors import RecordError, UsageError
from avbench.harness.records.filing import file_all
from avbench.harness.records.gate import Declared, copied, differences, find_in, judge, nothing_declared
from avbench.harness.records.record import MAX_RECORD_BYTES, RunRecord, decode_record
from avbench.harness.records.results import MAX_EVIDENCE_BYTES, ResultsFolder
from avbench.harness.untrusted import is_litter, read_limited

MAX_SUBMISSION_BYTES = 512 * 2**20
MAX_TOTAL_BYTES = 2 * 2**30
"""Of all members together, unpacked."""
MAX_MEMBERS = 10_000
MAX_RATIO = 100
"""Unpacked over packed size of a member; evidence is noise and packs by less than ten."""
_SMALL = 2**16
"""Members below this size may pack as well as they like."""

_MEMBER = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,99}/){4}[0-9a-f]{20}\.(?:json|safetensors)")
_LIMITS = {".json": MAX_RECORD_BYTES, ".safetensors": MAX_EVIDENCE_BYTES}
_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Accepted:
    """What a submission brought."""

    new: tuple[RunRecord, ...]
    known: tuple[RunRecord, ...]
    """Runs that were filed already, with the same content."""


def write_submission(
    out: Path, records: Sequence[RunRecord], folder: ResultsFolder, declared: Declared = nothing_declared
) -> None:
    """Pack finished, sound runs; equal runs give equal bytes.

    Raises :class:`UsageError` for no runs or too many, :class:`RecordError` for a run that failed or does not verify.
    """
    if not records:
        raise UsageError("no finished runs to pack; 'avbench results list' shows what there is")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for record in sorted(records, key=lambda r: str(folder.path(r.configuration))):
            _refuse(record, ["the run failed"] if not record.finished else find_in(folder, record, declared).reasons)
            path = folder.path(record.configuration)
            for suffix, content in (
                (".json", path.read_bytes()),
                (".safetensors", folder.evidence_bytes(record)),
            ):
                info = zipfile.ZipInfo(path.with_suffix(suffix).relative_to(folder.root).as_posix(), _DATE)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                archive.writestr(info, content)
    if stream.tell() > MAX_SUBMISSION_BYTES or 2 * len(records) > MAX_MEMBERS:
        raise UsageError(
            f"a submission holds at most {MAX_SUBMISSION_BYTES:,} bytes and {MAX_MEMBERS // 2:,} runs; pack fewer"
        )
    write_bytes(out, stream.getvalue())


def accept_submission(file: Path, folder: ResultsFolder, declared: Declared = nothing_declared) -> Accepted:
    """Verify a submission and file its runs: all of them or none.

    ``declared``: what installed methods say, see :mod:`avbench.harness.records.gate`. Raises :class:`RecordError` that
    names what is wrong: the archive, a record, its evidence, a run that is filed already with other content, one that
    contradicts what is filed already, or evidence that another method's run has already.
    """
    content = read_limited(file, MAX_SUBMISSION_BYTES)
    with scratch("avbench-submission") as temporary:
        inbox = ResultsFolder(temporary)
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                records = [_unpack(archive, pair, inbox) for pair in _pairs(archive)]
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError) as error:
            raise RecordError(f"{file}: not readable as a zip ({error})") from None
        for record in records:
            _refuse(record, find_in(inbox, record, declared).reasons)
        known = tuple(record for record in records if _is_filed(record, folder))
        new = tuple(record for record in records if record not in known)
        _refuse_contradictions(new, inbox, folder, declared)
        _refuse_names_of_other_case(new, folder)
        file_all([(record, inbox.evidence_bytes(record)) for record in new], folder)
    return Accepted(new, known)


def _pairs(archive: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, zipfile.ZipInfo]]:
    """Record and evidence of every run, by the directory of the zip alone: nothing is unpacked yet."""
    members = [m for m in archive.infolist() if not any(map(is_litter, m.filename.strip("/").split("/")))]
    if not members or len(members) > MAX_MEMBERS:
        raise RecordError(f"the submission has {len(members)} files; 2 to {MAX_MEMBERS:,} are allowed")
    if sum(member.file_size for member in members) > MAX_TOTAL_BYTES:
        raise RecordError(f"the submission unpacks to more than {MAX_TOTAL_BYTES:,} bytes")
    by_name: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        name = member.filename
        shown = ascii(name[:100])
        if not _MEMBER.fullmatch(name):
            raise RecordError(f"the submission holds {shown}, where a record or evidence file of a run is expected")
        if name.casefold() in by_name:
            raise RecordError(f"the submission holds {shown} twice")
        encrypted, kind = member.flag_bits & 1, stat.S_IFMT(member.external_attr >> 16)
        if encrypted or kind not in (0, stat.S_IFREG) or member.compress_type not in _COMPRESSION:
            raise RecordError(f"the submission's {shown} is encrypted, a link or compressed in an unusual way")
        limit = _LIMITS[Path(name).suffix]
        if member.file_size > limit:
            raise RecordError(f"the submission's {shown} is larger than {limit:,} bytes")
        if member.file_size > max(_SMALL, MAX_RATIO * member.compress_size):
            raise RecordError(f"the submission's {shown} unpacks to more than {MAX_RATIO} times its size")
        by_name[name.casefold()] = member
    pairs = []
    for stem in sorted({name.rpartition(".")[0] for name in by_name}):
        pair = by_name.get(f"{stem}.json"), by_name.get(f"{stem}.safetensors")
        if pair[0] is None or pair[1] is None:
            raise RecordError(f"the submission's run {stem} lacks its {'evidence' if pair[0] else 'record'}")
        pairs.append((pair[0], pair[1]))
    return pairs


def _unpack(archive: zipfile.ZipFile, pair: tuple[zipfile.ZipInfo, zipfile.ZipInfo], inbox: ResultsFolder) -> RunRecord:
    """Put one run into the inbox, under the name that its own content gives it."""
    content, evidence = (archive.read(member) for member in pair)
    name = pair[0].filename
    record = decode_record(content, name)
    path = inbox.path(record.configuration)
    if path.relative_to(inbox.root).as_posix() != name:
        raise RecordError(f"{name}: does not lie where its configuration belongs")
    if not record.finished:
        raise RecordError(f"{name}: the run failed; only finished runs can be submitted")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.with_suffix(".safetensors").write_bytes(evidence)
    return record


def _refuse(record: RunRecord, reasons: Sequence[str]) -> None:
    if reasons:
        c = record.configuration
        raise RecordError(f"{c.method} {c.track} {c.protocol.name} seed {c.seed}: {'; '.join(reasons)}")


def _is_filed(record: RunRecord, folder: ResultsFolder) -> bool:
    """Whether the very same run is there already. Raises :class:`RecordError` where it is there with other content."""
    there = folder.find(record.configuration)
    if there is None or not there.finished:
        return False
    if there != record:
        told = differences(there, record)
        _refuse(record, [f"one identity, two results: it is filed already in {folder.root}; they differ in {told}"])
    return True


def _refuse_contradictions(
    new: Sequence[RunRecord], inbox: ResultsFolder, folder: ResultsFolder, declared: Declared
) -> None:
    """What is filed came first, whatever date the new runs tell: they may not contradict it, put it out or copy it."""
    tracks = {record.configuration.track for record in new}
    filed = [r for r in folder.records() if isinstance(r, RunRecord) and r.configuration.track in tracks]
    there = [find_in(folder, record, declared) for record in filed]
    here = [find_in(inbox, record, declared) for record in new]
    before, after = judge(there), judge([*there, *here])
    for finding in here:
        record = finding.record
        conflict = after.conflicts.get(record.identity)
        _refuse(record, [*after.reasons[record.identity], *([conflict] if conflict else [])])
        if (owner := copied(finding, [*there, *here])) is not None:
            _refuse(record, [f"its evidence is that of a run of method {owner.record.configuration.method}"])
    for record in filed:
        if after.reasons[record.identity] and not before.reasons[record.identity]:
            _refuse(new[0], [f"would put out run {record.identity[:12]}, which {after.reasons[record.identity][0]}"])


def _refuse_names_of_other_case(new: Sequence[RunRecord], folder: ResultsFolder) -> None:
    """A method's name is a folder, also where systems know no case, and readers do not tell ``AVCA`` from ``avca``."""
    filed = {r.configuration.method for r in folder.records() if isinstance(r, RunRecord)}
    names = {name.casefold(): name for name in filed}
    for record in new:
        name = record.configuration.method
        if (known := names.setdefault(name.casefold(), name)) != name:
            _refuse(record, [f"there are runs of a method {known} already, whose name differs in case only"])
