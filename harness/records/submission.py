"""Submission files: chosen runs in one zip, packed from sound records and accepted only when every one is sound.

Reproductions of the runs travel with them. Where they arrive they are claims of whoever sent them, unless the receiver
vouches for the sender.

A submission is hostile until proven otherwise: only the expected names, bounded in number, size and compression;
nothing is written outside a temporary folder before everything has been verified.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from avbench.harness.atomic import scratch, write_bytes
from avbench.harness.errors import RecordError, UsageError
from avbench.harness.records.differences import differences
from avbench.harness.records.filing import Item, file_all
from avbench.harness.records.finding import Declared, find_in, nothing_declared
from avbench.harness.records.gate import copied, judge
from avbench.harness.records.record import MAX_RECORD_BYTES, RunRecord, decode_record
from avbench.harness.records.reproduction import MAX_REPRODUCTION_BYTES, SUFFIX, Reproduction
from avbench.harness.records.results import MAX_EVIDENCE_BYTES, ResultsFolder, Unreadable
from avbench.harness.untrusted import is_litter, read_limited

MAX_SUBMISSION_BYTES = 512 * 2**20
MAX_TOTAL_BYTES = 2 * 2**30
"""Of all members together, unpacked."""
MAX_MEMBERS = 10_000
MAX_RATIO = 100
"""Unpacked over packed size of a member; evidence is noise and packs by less than ten."""
_SMALL = 2**16
"""Members below this size may pack as well as they like."""

_MEMBER = re.compile(
    r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,99}/){4}[0-9a-f]{20}(?:\.json|\.safetensors|\.[0-9a-f]{12}\.reproduction\.json)"
)
_RECORD, _EVIDENCE = ".json", ".safetensors"
_LIMITS = {_RECORD: MAX_RECORD_BYTES, _EVIDENCE: MAX_EVIDENCE_BYTES, SUFFIX: MAX_REPRODUCTION_BYTES}
_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Accepted:
    """What a submission brought."""

    new: tuple[RunRecord, ...]
    known: tuple[RunRecord, ...]
    """Runs that were filed already, with the same content."""
    reproductions: int = 0
    """How many of them came with the runs."""


def write_submission(
    out: Path, records: Sequence[RunRecord], folder: ResultsFolder, declared: Declared = nothing_declared
) -> None:
    """Pack finished, sound runs with the reproductions made here; equal runs give equal bytes.

    Raises :class:`UsageError` for no runs or too many, :class:`RecordError` for a run that failed or does not verify.
    """
    if not records:
        raise UsageError("no finished runs to pack; 'avbench results list' shows what there is")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for record in sorted(records, key=lambda r: str(folder.path(r.configuration))):
            finding = find_in(folder, record, declared)
            _refuse(record, ["the run failed"] if not record.finished else [*finding.reasons, *finding.refused])
            path = folder.path(record.configuration)
            for member, content in (
                (path, path.read_bytes()),
                (path.with_suffix(_EVIDENCE), folder.evidence_bytes(record)),
                *(
                    (folder.reproduction_path(record, ours), ours.to_json().encode())
                    for ours in finding.reproductions
                    if not ours.claimed
                ),
            ):
                info = zipfile.ZipInfo(member.relative_to(folder.root).as_posix(), _DATE)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                archive.writestr(info, content)
        members = len(archive.infolist())
    if stream.tell() > MAX_SUBMISSION_BYTES or members > MAX_MEMBERS:
        raise UsageError(
            f"a submission holds at most {MAX_SUBMISSION_BYTES:,} bytes and {MAX_MEMBERS:,} files; pack fewer runs"
        )
    write_bytes(out, stream.getvalue())


def accept_submission(
    file: Path, folder: ResultsFolder, declared: Declared = nothing_declared, *, vouched: bool = False
) -> Accepted:
    """Verify a submission and file its runs, with the reproductions beside them: all of it or nothing.

    ``declared``: what installed methods say, see :class:`avbench.harness.records.finding.Said`. ``vouched``:
    reproductions in it count as those of whoever keeps this folder; otherwise they are filed as claims. Raises
    :class:`RecordError` that names what is wrong: the archive, a record, its evidence, a reproduction that does not
    speak of its run, a run that is filed already with other content, one that contradicts what is filed already, or
    evidence that another method's run has already.
    """
    with _unpacked(file) as (inbox, records):
        findings = {record.identity: find_in(inbox, record, declared) for record in records}
        for record in records:
            _refuse(record, [*findings[record.identity].reasons, *findings[record.identity].refused])
        known = tuple(record for record in records if _is_filed(record, folder))
        new = tuple(record for record in records if record not in known)
        _refuse_contradictions(new, inbox, folder, declared)
        _refuse_names_of_other_case(new, folder)
        items = [
            Item(
                record,
                inbox.evidence_bytes(record) if record in new else None,
                _news(findings[record.identity].reproductions, folder.reproductions(record), vouched),
            )
            for record in records
        ]
        file_all([item for item in items if item.evidence is not None or item.reproductions], folder)
    return Accepted(new, known, sum(len(item.reproductions) for item in items))


def submitted(file: Path) -> tuple[RunRecord, ...]:
    """The records in a submission, none of them verified. Raises :class:`RecordError` as :func:`accept_submission`."""
    with _unpacked(file) as (_, records):
        return tuple(records)


@contextmanager
def _unpacked(file: Path) -> Iterator[tuple[ResultsFolder, list[RunRecord]]]:
    """What a submission holds, in a folder for the time of the block."""
    content = read_limited(file, MAX_SUBMISSION_BYTES)
    with scratch("avbench-submission") as temporary:
        inbox = ResultsFolder(temporary)
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                records = [_unpack(archive, run, inbox) for run in _runs(archive)]
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError) as error:
            raise RecordError(f"{file}: not readable as a zip ({error})") from None
        yield inbox, records


def _news(
    sent: Sequence[Reproduction], there: Sequence[Reproduction | Unreadable], vouched: bool
) -> tuple[Reproduction, ...]:
    """The reproductions to be filed, as what they are here: ours, or somebody's claims."""
    taken = [r.model_copy(update={"claimed": r.claimed or not vouched}) for r in sent]
    return tuple(r for r in taken if r not in there and r.model_copy(update={"claimed": False}) not in there)


@dataclass(frozen=True)
class _Members:
    """The files of one run in a zip."""

    record: zipfile.ZipInfo
    evidence: zipfile.ZipInfo
    reproductions: tuple[zipfile.ZipInfo, ...]


def _runs(archive: zipfile.ZipFile) -> list[_Members]:
    """The files of every run, by the directory of the zip alone: nothing is unpacked yet."""
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
        limit = _LIMITS[_suffix(name)]
        if member.file_size > limit:
            raise RecordError(f"the submission's {shown} is larger than {limit:,} bytes")
        if member.file_size > max(_SMALL, MAX_RATIO * member.compress_size):
            raise RecordError(f"the submission's {shown} unpacks to more than {MAX_RATIO} times its size")
        by_name[name.casefold()] = member
    by_run: dict[str, dict[str, list[zipfile.ZipInfo]]] = defaultdict(lambda: defaultdict(list))
    for name, member in sorted(by_name.items()):
        by_run[_run_of(name)][_suffix(name)].append(member)
    runs = []
    for stem, files in sorted(by_run.items()):
        if not (files[_RECORD] and files[_EVIDENCE]):
            raise RecordError(f"the submission's run {stem} lacks its {'evidence' if files[_RECORD] else 'record'}")
        runs.append(_Members(files[_RECORD][0], files[_EVIDENCE][0], tuple(files[SUFFIX])))
    return runs


def _suffix(name: str) -> str:
    return SUFFIX if name.endswith(SUFFIX) else Path(name).suffix


def _run_of(name: str) -> str:
    """The run that a member belongs to: its folder and the beginning of its name."""
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file[:20]}"


def _unpack(archive: zipfile.ZipFile, run: _Members, inbox: ResultsFolder) -> RunRecord:
    """Put one run into the inbox, under the name that its own content gives it."""
    content = archive.read(run.record)
    name = run.record.filename
    record = decode_record(content, name)
    path = inbox.path(record.configuration)
    if path.relative_to(inbox.root).as_posix() != name:
        raise RecordError(f"{name}: does not lie where its configuration belongs")
    if not record.finished:
        raise RecordError(f"{name}: the run failed; only finished runs can be submitted")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.with_suffix(_EVIDENCE).write_bytes(archive.read(run.evidence))
    for member in run.reproductions:  # of this run, by its name; the gate reads it
        path.with_name(Path(member.filename).name).write_bytes(archive.read(member))
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
