from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from simulated_results import altered, configuration_of, many_runs, reconfigured, record_of, simulated_run, store

from avbench.harness.errors import AvbenchError, RecordError, UsageError
from avbench.harness.records import submission
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.records.submission import accept_submission, write_submission
from avbench.harness.tracks import Track

UCF = Track("ucf", "main")


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    return store(tmp_path / "results", list(many_runs(4, [UCF])))


@pytest.fixture
def records(folder: ResultsFolder) -> list[RunRecord]:
    return [r for r in folder.records() if isinstance(r, RunRecord)]


def zipped(path: Path, members: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda _: None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            change(info)
            archive.writestr(info, content)
    return path


def members_of(folder: ResultsFolder, record: RunRecord) -> dict[str, bytes]:
    path = folder.path(record.configuration)
    name = path.relative_to(folder.root).as_posix()
    return {name: path.read_bytes(), name.replace(".json", ".safetensors"): folder.evidence_bytes(record)}


def test_what_is_packed_is_accepted_once(tmp_path: Path, folder: ResultsFolder, records: list[RunRecord]) -> None:
    write_submission(tmp_path / "s.zip", records, folder)
    other = ResultsFolder(tmp_path / "other")
    accepted = accept_submission(tmp_path / "s.zip", other)
    assert {r.identity for r in accepted.new} == {r.identity for r in records}
    assert not accepted.known
    assert files(other.root) == files(folder.root)
    again = accept_submission(tmp_path / "s.zip", other)
    assert not again.new
    assert len(again.known) == 4


def test_equal_runs_pack_to_equal_bytes(tmp_path: Path, folder: ResultsFolder, records: list[RunRecord]) -> None:
    write_submission(tmp_path / "1.zip", records, folder)
    write_submission(tmp_path / "2.zip", records[::-1], folder)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_only_sound_finished_runs_are_packed(tmp_path: Path, folder: ResultsFolder, records: list[RunRecord]) -> None:
    with pytest.raises(UsageError, match="no finished runs"):
        write_submission(tmp_path / "s.zip", [], folder)
    folder.evidence_path(records[0]).unlink()
    with pytest.raises(RecordError, match="missing"):
        write_submission(tmp_path / "s.zip", records, folder)
    failed = record_of(configuration_of("avca", UCF, "aligned", 7))
    folder.save(failed, None)
    with pytest.raises(RecordError, match="the run failed"):
        write_submission(tmp_path / "s.zip", [failed], folder)
    assert not (tmp_path / "s.zip").exists()


def test_one_unsound_run_keeps_all_out(tmp_path: Path, folder: ResultsFolder, records: list[RunRecord]) -> None:
    cheat, evidence = simulated_run("cheat", UCF)
    assert cheat.outcome is not None
    cheat = altered(cheat, metrics=cheat.outcome.metrics.model_copy(update={"HM": 99.0}))
    store(folder.root, [(cheat, evidence)])
    file = zipped(tmp_path / "s.zip", members_of(folder, cheat) | members_of(folder, records[0]))
    with pytest.raises(RecordError, match=r"cheat ucf/main aligned seed 0: HM is stated as 99"):
        accept_submission(file, ResultsFolder(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_another_content_under_a_filed_identity_is_refused(
    tmp_path: Path, folder: ResultsFolder, records: list[RunRecord]
) -> None:
    before = members_of(folder, records[0])
    changed = records[0].model_copy(update={"variant": "better"})
    store(tmp_path / "theirs", [(changed, folder.evidence_path(changed).read_bytes())])
    write_submission(tmp_path / "s.zip", [changed], ResultsFolder(tmp_path / "theirs"))
    with pytest.raises(RecordError, match="filed already"):
        accept_submission(tmp_path / "s.zip", folder)
    assert members_of(folder, records[0]) == before


def test_a_finished_run_replaces_a_failed_one(tmp_path: Path, folder: ResultsFolder, records: list[RunRecord]) -> None:
    write_submission(tmp_path / "s.zip", records[:1], folder)
    other = ResultsFolder(tmp_path / "other")
    other.save(record_of(records[0].configuration), None)
    assert [r.identity for r in accept_submission(tmp_path / "s.zip", other).new] == [records[0].identity]
    assert other.find(records[0].configuration) == records[0]


def test_evidence_of_another_methods_run_is_refused(
    tmp_path: Path, folder: ResultsFolder, records: list[RunRecord]
) -> None:
    other = records[0].configuration.plugin.model_copy(update={"distribution": "mine"})
    stolen = reconfigured(records[0], method="mine", plugin=other)
    theirs = store(tmp_path / "theirs", [(stolen, folder.evidence_bytes(records[0]))])
    write_submission(tmp_path / "s.zip", [stolen], theirs)
    with pytest.raises(RecordError, match=f"that of a run of method {records[0].configuration.method}"):
        accept_submission(tmp_path / "s.zip", folder)


def test_a_name_of_other_case_is_refused(tmp_path: Path) -> None:
    folder = store(tmp_path / "results", [simulated_run("AVCA", UCF)])
    write_submission(tmp_path / "s.zip", [r for r in folder.records() if isinstance(r, RunRecord)], folder)
    other = store(tmp_path / "other", [simulated_run("avca", UCF)])
    before = files(other.root)
    with pytest.raises(RecordError, match="a method avca already, whose name differs in case only"):
        accept_submission(tmp_path / "s.zip", other)
    assert files(other.root) == before


def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, folder: ResultsFolder, records: list[RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_submission(tmp_path / "s.zip", records, folder)
    saved = []
    save = ResultsFolder.save

    def third_fails(self: ResultsFolder, record: RunRecord, evidence: bytes | None) -> Path:
        saved.append(record)
        if len(saved) == 3:
            raise OSError(28, "No space left on device")
        return save(self, record, evidence)

    monkeypatch.setattr(ResultsFolder, "save", third_fails)
    with pytest.raises(OSError, match="No space left"):
        accept_submission(tmp_path / "s.zip", ResultsFolder(tmp_path / "other"))
    assert files(tmp_path / "other") == set()


GOOD = "ucf/main/avca/aligned/0123456789abcdef0123"


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        f"{GOOD}.py",
        f"{GOOD}.json/x",
        "ucf/main/avca/aligned/../../../x.json",
        "ucf/main/../aligned/0123456789abcdef0123.json",
        "ucf\\main\\avca\\aligned\\0123456789abcdef0123.json",
        "ucf/main/avca/aligned/",
        "C:/main/avca/aligned/0123456789abcdef0123.json",
        f"{'a' * 10_000}/main/avca/aligned/0123456789abcdef0123.json",
        f"{GOOD}.json\n",
        "ucf/main/\x1b[31m/aligned/0123456789abcdef0123.json",
    ],
)
def test_unexpected_names_are_refused(tmp_path: Path, name: str) -> None:
    file = zipped(tmp_path / "s.zip", {name: b"{}"})
    with pytest.raises(RecordError, match="is expected") as caught:
        accept_submission(file, ResultsFolder(tmp_path / "other"))
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()
    assert files(tmp_path) == {"s.zip"}


def _link(info: zipfile.ZipInfo) -> None:
    info.external_attr = 0o120777 << 16


def _bzip(info: zipfile.ZipInfo) -> None:
    info.compress_type = zipfile.ZIP_BZIP2


@pytest.mark.parametrize("change", [_link, _bzip])
def test_links_and_unusual_compression_are_refused(tmp_path: Path, change: Callable[[zipfile.ZipInfo], None]) -> None:
    file = zipped(tmp_path / "s.zip", {f"{GOOD}.json": b"/etc/passwd"}, change)
    with pytest.raises(RecordError, match="unusual way"):
        accept_submission(file, ResultsFolder(tmp_path / "other"))


def test_bombs_and_huge_members_are_refused_before_they_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped(tmp_path / "bomb.zip", {f"{GOOD}.safetensors": bytes(30 * 2**20)})
    huge = zipped(tmp_path / "huge.zip", {f"{GOOD}.json": bytes(5 * 2**20)})
    small = zipped(tmp_path / "small.zip", {f"{GOOD}.json": b"{}", f"{GOOD}.safetensors": b""})
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
    for file, word in ((bomb, "100 times"), (huge, r"larger than 4,194,304")):
        with pytest.raises(RecordError, match=word):
            accept_submission(file, ResultsFolder(tmp_path / "other"))
    monkeypatch.setattr(submission, "MAX_MEMBERS", 1)
    with pytest.raises(RecordError, match="2 files"):
        accept_submission(small, ResultsFolder(tmp_path / "other"))
    monkeypatch.setattr(submission, "MAX_MEMBERS", 10)
    monkeypatch.setattr(submission, "MAX_TOTAL_BYTES", 1)
    with pytest.raises(RecordError, match="unpacks to more"):
        accept_submission(small, ResultsFolder(tmp_path / "other"))


def test_a_size_that_lies_is_found(tmp_path: Path, folder: ResultsFolder, records: list[RunRecord]) -> None:
    file = zipped(tmp_path / "s.zip", members_of(folder, records[0]))
    content = bytearray(file.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (100).to_bytes(4, "little")
    file.write_bytes(content)
    with pytest.raises(RecordError, match="not readable as a zip"):
        accept_submission(file, ResultsFolder(tmp_path / "other"))


def test_halves_repetitions_and_misplaced_runs_are_refused(
    tmp_path: Path, folder: ResultsFolder, records: list[RunRecord]
) -> None:
    members = members_of(folder, records[0])
    record_name, evidence_name = members
    elsewhere = {name.replace("ucf/", "vggsound/"): content for name, content in members.items()}
    upper = {name.replace("ucf/", "UCF/"): content for name, content in members.items()}
    failed = record_of(records[0].configuration).to_json().encode()
    for content, word in (
        ({record_name: members[record_name]}, "lacks its evidence"),
        ({evidence_name: members[evidence_name]}, "lacks its record"),
        (elsewhere, "does not lie where"),
        (members | upper, "twice"),
        (members | {record_name: b"[1]"}, "a record is a JSON object"),
        (members | {record_name: failed}, "only finished runs"),
        (members | {evidence_name: b"\x80\x04K\x01."}, "hash differs"),
    ):
        with pytest.raises(RecordError, match=word):
            accept_submission(zipped(tmp_path / "s.zip", content), ResultsFolder(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("cut", [0, 1, 100, -100, -1])
def test_truncated_files_are_refused(tmp_path: Path, folder: ResultsFolder, records: list[RunRecord], cut: int) -> None:
    write_submission(tmp_path / "s.zip", records[:1], folder)
    content = (tmp_path / "s.zip").read_bytes()
    (tmp_path / "s.zip").write_bytes(content[:cut])
    with pytest.raises(RecordError, match="not readable as a zip"):
        accept_submission(tmp_path / "s.zip", ResultsFolder(tmp_path / "other"))


def test_every_flipped_byte_is_refused_or_harmless(
    tmp_path: Path, folder: ResultsFolder, records: list[RunRecord]
) -> None:
    """Whatever one byte of a submission says, nothing but the genuine run is ever filed."""
    write_submission(tmp_path / "s.zip", records[:1], folder)
    content = (tmp_path / "s.zip").read_bytes()
    places = [*range(0, 400, 7), *range(len(content) - 400, len(content), 7)]
    refused = 0
    for place in places:
        with zipfile.ZipFile(io.BytesIO(content)):
            changed = bytearray(content)
        changed[place] ^= 0xFF
        (tmp_path / "f.zip").write_bytes(changed)
        other = ResultsFolder(tmp_path / f"other{place}")
        try:
            accept_submission(tmp_path / "f.zip", other)
        except AvbenchError:
            refused += 1
            assert not other.root.exists()
        else:
            assert list(other.records()) == records[:1]
    assert refused > len(places) / 2
